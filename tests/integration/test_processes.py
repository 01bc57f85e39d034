"""A supervisor's promises: what it starts runs, is started again, and never stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.cli.dev.local_stack import on_first_start
from orchestrator.embedded.supervisor import ProcessFailed, Supervisor, http_ok, log_says, port_open

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
#: Starts a grandchild in a session of its own, tells its id, and goes on.
WITH_GRANDCHILD = [
    sys.executable,
    "-S",
    "-c",
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "print('grandchild', child.pid, flush=True)\n"
    "time.sleep(600)",
]
DEAF = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True); time.sleep(600)",
]


@pytest.fixture
def processes() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def eventually(fact: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not fact() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return fact()


def grandchild(log: Path) -> int:
    return int(log.read_text().split("grandchild ")[1].split()[0])


def test_ends_everything_with_itself() -> None:
    with Supervisor() as supervisor:
        pids = [supervisor.spawn(str(n), SLEEP).pid for n in range(3)]
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert all(gone(pid) for pid in pids)


def test_gives_environment_folder_and_log(processes: Supervisor, tmp_path: Path) -> None:
    code = "import os; print(os.environ, os.getcwd())"
    argv = [sys.executable, "-I", "-S", "-c", code]
    process = processes.spawn("it", argv, env={"A": "b"}, cwd=tmp_path, log=tmp_path / "log")
    assert process.wait(10) == 0
    assert "'A': 'b'" in (tmp_path / "log").read_text()
    assert str(tmp_path) in (tmp_path / "log").read_text()


def test_starts_a_killed_process_again_and_later_each_time(processes: Supervisor) -> None:
    process = processes.spawn("it", SLEEP, restart=True)
    started, pids = time.monotonic(), {process.pid}
    for number in (2, 3, 4):
        process.kill()
        pids.add(process.wait_for_start(number, timeout=10))
    assert len(pids) == 4
    assert process.code == -signal.SIGKILL
    assert time.monotonic() - started > 0.4 + 0.8  # none, then doubling
    assert process.stop() == -signal.SIGTERM
    assert not process.running


def test_stop_also_ends_one_that_waits_for_its_next_start(processes: Supervisor) -> None:
    process = processes.spawn("it", SLEEP, restart=True)
    process.kill()
    process.wait_for_start(2, timeout=10)
    process.kill()
    assert not process.running
    assert process.stop() == -signal.SIGKILL
    assert process.starts == 2


def test_insists_when_the_grace_is_over(processes: Supervisor, tmp_path: Path) -> None:
    process = processes.spawn("it", DEAF, log=tmp_path / "log", ready=log_says("deaf"))
    assert process.stop(grace=0.1) == -signal.SIGKILL


def test_says_why_a_process_could_not_start(processes: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="no-such-program"):
        processes.spawn("it", ["no-such-program"])
    argv = ["sh", "-c", "echo the reason; exit 3"]
    with pytest.raises(ProcessFailed, match="status 3: the reason"):
        processes.spawn("it", argv, log=tmp_path / "log", ready=log_says("ready"))
    with pytest.raises(ProcessFailed, match="not ready after"):
        processes.spawn("it", SLEEP, ready=lambda _: False, timeout=0.1)
    assert processes.processes["it"].ended


def test_a_name_is_taken_while_its_process_runs(processes: Supervisor) -> None:
    processes.spawn("it", SLEEP)
    with pytest.raises(ProcessFailed, match="already running"):
        processes.spawn("it", SLEEP)
    processes.processes["it"].stop()
    processes.spawn("it", SLEEP)


def test_waits_for_a_port_and_for_http(processes: Supervisor, tmp_path: Path) -> None:
    argv = [sys.executable, "-u", "-m", "http.server", "-b", "127.0.0.1", "0"]
    server = processes.spawn("it", argv, cwd=tmp_path, log=tmp_path / "log", ready=log_says("port"))
    port = int(server.log_since_start().split("port ")[1].split()[0])
    server.wait_until(port_open(port))
    server.wait_until(http_ok(f"http://127.0.0.1:{port}/"))
    assert not http_ok(f"http://127.0.0.1:{port}/nothing")(server)
    server.stop()
    assert not port_open(port)(server)
    assert not http_ok(f"http://127.0.0.1:{port}/")(server)


def test_tells_what_happens() -> None:
    told: list[tuple[str, str]] = []
    with Supervisor(lambda event: told.append((event["event"], event["name"]))) as supervisor:
        supervisor.spawn("one", ["true"]).wait(10)
    assert told == [("started", "one"), ("exited", "one")]


def test_higher_tiers_end_first() -> None:
    ended: list[str] = []
    with Supervisor(lambda e: ended.append(e["name"]) if e["event"] == "exited" else None) as all_:
        for name, tier in (("worker", 1), ("database", 0), ("gateway", 2)):
            all_.spawn(name, SLEEP, tier=tier)
    assert ended == ["gateway", "worker", "database"]


def test_a_process_that_waits_to_be_started_again_keeps_no_lower_tier_alive() -> None:
    """Nothing signals its end: the next tier's turn comes at once."""
    waits: list[float] = []
    supervisor = Supervisor(lambda event: waits.append(event.get("again_in") or 0.0))
    supervisor.spawn("database", SLEEP, tier=0)
    supervisor.spawn("gateway", ["false"], restart=True, tier=1)
    assert eventually(lambda: waits[-1] > 1)
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    stopping.join(20)
    hung = stopping.is_alive()
    if hung:
        os.kill(supervisor.subreaper_pid, signal.SIGKILL)
    assert not hung


def test_what_a_killed_process_left_behind_is_ended(processes: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = processes.spawn("it", WITH_GRANDCHILD, log=log, ready=log_says("grandchild"))
    process.kill()
    assert eventually(lambda: gone(grandchild(log)))


PARENT = """
import os, signal, sys, threading
from pathlib import Path
from orchestrator.embedded.supervisor import Supervisor, log_says
folder, child, how = Path(sys.argv[1]), eval(sys.argv[2]), sys.argv[3]
supervisor = None
def start():
    global supervisor
    supervisor = Supervisor()
    it = supervisor.spawn("it", child, log=folder / "log", ready=log_says("grandchild"))
    (folder / "pids").write_text(f"{it.pid} {supervisor.subreaper_pid}")
if how == "thread":
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
print("ready", flush=True)
if how == "fork" and os.fork() == 0:
    signal.pause()
if how != "exit":
    signal.pause()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a parent of its own that supervises one process with a grandchild."""
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", PARENT, str(tmp_path), repr(WITH_GRANDCHILD), how]
        parent = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(parent)
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        return parent

    yield start
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGKILL)
        each.communicate()


def everybody(folder: Path) -> list[int]:
    return [*map(int, (folder / "pids").read_text().split()), grandchild(folder / "log")]


@pytest.mark.parametrize("how", ["plain", "thread", "fork"])
def test_a_killed_parent_leaves_nobody(parent, tmp_path: Path, how: str) -> None:
    """Also where the thread that started them has ended, and where a fork of the parent
    that never learned of it still holds all its files."""
    process = parent(how)
    assert not any(gone(pid) for pid in everybody(tmp_path))
    process.kill()
    assert eventually(lambda: all(gone(pid) for pid in everybody(tmp_path)))


def test_a_parent_that_forgets_to_stop_leaves_nobody(parent, tmp_path: Path) -> None:
    parent("exit").wait(10)
    assert eventually(lambda: all(gone(pid) for pid in everybody(tmp_path)))


def test_a_killed_subreaper_leaves_no_process(processes: Supervisor) -> None:
    process = processes.spawn("it", SLEEP, restart=True)
    pid = process.pid
    os.kill(processes.subreaper_pid, signal.SIGKILL)
    assert eventually(lambda: gone(pid))
    process.wait(10)
    with pytest.raises(ProcessFailed):
        processes.spawn("another", SLEEP)


def test_a_lock_is_held_by_the_process_and_its_children(
    processes: Supervisor, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    process = processes.spawn("it", SLEEP, lock=lock)
    assert lock.read_text().strip() == str(process.pid)
    with pytest.raises(ProcessFailed, match=f"held by process {process.pid}"):
        processes.spawn("other", SLEEP, lock=lock)
    process.stop()
    processes.spawn("other", SLEEP, lock=lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as other users")
def test_runs_as_another_user_in_a_folder_closed_to_it(
    processes: Supervisor, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    inside = closed / "inside"
    inside.mkdir(parents=True)
    os.chown(inside, 65534, 65534)
    closed.chmod(0o700)
    argv = ["sh", "-c", "id -u; id -g; id -G; touch made; exec sleep 600"]
    log = tmp_path / "log"
    process = processes.spawn("it", argv, cwd=inside, log=log, user=(65534, 65534))
    assert eventually((inside / "made").exists)
    assert process.log_since_start().split() == ["65534"] * 3
    assert (inside / "made").stat().st_uid == 65534
    # The change of credentials clears a death signal that was set before it.
    pid = process.pid
    os.kill(processes.subreaper_pid, signal.SIGKILL)
    assert eventually(lambda: gone(pid))


def test_a_failure_shows_what_this_run_has_logged(processes: Supervisor, tmp_path: Path):
    """An earlier run has left its error in the same file: it explains nothing now."""
    log = tmp_path / "worker.log"
    log.write_text("No module named 'yesterday'\n")
    command = [sys.executable, "-S", "-c", "print('No module named today'); raise SystemExit(2)"]
    process = processes.spawn("worker", command, log=log, restart=True)
    process.wait_for_start(2, 30)
    with pytest.raises(ProcessFailed, match="No module named today") as told:
        process.wait_until(on_first_start(lambda _: False), 30)
    assert "yesterday" not in str(told.value)
    assert str(told.value).count("No module named today") == 1
