"""Commands apart from the worker, at every level of isolation that this machine has."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.process_runner import (
    Bounds,
    Command,
    Ended,
    GuardianLost,
    Isolation,
    available_isolation,
    confinement,
    launch,
    run,
)
from orchestrator.process_runner.process_tree import descendants

BOUNDS = Bounds(deadline=20, max_output=1 << 20)


@pytest.fixture(autouse=True)
def _folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other tests of this machine run commands, too. Every user may pass through the folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


def available(level: Isolation) -> bool:
    if level is Isolation.NAMESPACES:
        return available_isolation() is Isolation.NAMESPACES
    if level is Isolation.UID and os.geteuid() != 0:
        return False
    return level is Isolation.NONE or bool(
        confinement.knows_seccomp() and confinement.landlock_version()
    )


LEVELS = [
    pytest.param(
        level,
        marks=pytest.mark.skipif(
            not available(level), reason=f"this machine does not isolate by {level.value!r}"
        ),
    )
    for level in Isolation
]
every_level = pytest.mark.parametrize("level", LEVELS)
#: All but `none`, which promises limits and an end only.
isolated = pytest.mark.parametrize("level", LEVELS[:-1])


def sh(text: str, level: Isolation, *, bounds: Bounds = BOUNDS, stdin: bytes = b"") -> Ended:
    return run(Command(["/bin/sh", "-c", text], stdin), bounds, level)


def python(code: str, level: Isolation, *, bounds: Bounds = BOUNDS) -> Ended:
    command = Command(["python3", "program.py"], script=code, script_name="program.py")
    return run(command, bounds, level)


def left_behind() -> list[str]:
    base = Path(tempfile.gettempdir(), f"orchestrator-commands-{os.geteuid()}")
    return sorted(path.name for path in base.iterdir()) if base.exists() else []


@every_level
def test_a_command_gets_its_input_and_returns_what_it_wrote(level: Isolation) -> None:
    ended = run(
        Command(["/bin/sh", "-c", 'cat; echo "$0 $NAME"; echo bad >&2; exit 7', "zero"],
                b"x" * 300_000, {"NAME": "v"}),
        BOUNDS,
        level,
    )  # fmt: skip
    assert ended == Ended(7, "x" * 300_000 + "zero v\n", "bad\n")
    assert left_behind() == []


@every_level
def test_the_environment_holds_nothing_of_the_worker(
    level: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", "postgresql://secret")
    names = {line.split("=")[0] for line in sh("env", level).stdout.splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "LANG", "HOME", "TMPDIR"}


@isolated
def test_the_files_of_the_machine_are_out_of_reach(level: Isolation, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    os.chmod(tmp_path, 0o755)
    os.chmod(secret, 0o644)
    parent = os.getpid()
    ended = sh(
        f"cat {secret}; cat /proc/{parent}/environ; cat /etc/passwd; echo x > {tmp_path}/new; ls .",
        level,
    )
    assert ended.stdout == ""
    assert not (tmp_path / "new").exists()


@every_level
def test_variables_are_the_commands_alone(level: Isolation) -> None:
    """Not those of the program that isolates it, which would load what they name."""
    folder = Path(tempfile.mkdtemp())
    os.chmod(folder, 0o777)
    loader = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(folder / "loaded"), "A": "b c\n'\"$"}
    command = Command(["/bin/sh", "-c", 'printf %s "$A"; echo "$LD_DEBUG"'], environment=loader)
    ended = run(command, BOUNDS, level)
    assert ended.stdout.endswith("b c\n'\"$files\n")  # after what the loader says of the shell
    if level is not Isolation.NONE:
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("level", LEVELS[:1])
def test_memory_has_one_folder_of_bounded_size(level: Isolation) -> None:
    fill = (
        "for f in / /dev /dev/shm /work; do head -c 70000000 /dev/zero >$f/x && echo $f; done; ls"
    )
    ended = sh(fill, level)
    assert (ended.stdout, ended.code) == ("x\n", 0)


@isolated
def test_the_network_and_the_workers_memory_are_out_of_reach(level: Isolation) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
    ):
        ended = python(
            f"""
import ctypes, os, signal, socket
try:
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2)
    print("connected")
except OSError:
    pass
libc = ctypes.CDLL(None)
print(libc.ptrace(16, {other.pid}, 0, 0))
try:
    os.kill({other.pid}, signal.SIGKILL)
    print("killed")
except OSError:
    pass
""",
            level,
        )
        assert ended.stdout == "-1\n", ended
        assert other.poll() is None
        other.communicate(b"\n")


@every_level
def test_the_deadline_ends_it(level: Isolation) -> None:
    ended = sh("trap '' TERM; sleep 600 & wait; sleep 600", level, bounds=Bounds(0.5, 1000))
    assert ended.reason == "deadline"
    assert left_behind() == []


@every_level
def test_too_much_output_ends_it(level: Isolation) -> None:
    ended = sh("yes", level, bounds=Bounds(60, 10_000))
    assert ended.reason == "output"
    assert len(ended.stdout) <= 10_000


DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{marker}"])
    os._exit(0)
print("parent")
"""


def running(marker: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes() and b"sleep" in path.read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
@every_level
def test_no_daemon_outlives_it(level: Isolation) -> None:
    marker = f"{os.getpid()}.{list(Isolation).index(level)}41"
    ended = python(DAEMON.replace("{marker}", marker), level)
    assert ended.stdout == "parent\n"
    assert not running(marker)


@pytest.mark.slow
@every_level
def test_a_folder_of_3000_levels_goes(level: Isolation) -> None:
    code = "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nprint('ok')"
    assert python(code, level, bounds=Bounds(60, 1000)).stdout == "ok\n"
    assert left_behind() == []


@pytest.mark.slow
@every_level
def test_memory_and_files_are_bounded(level: Isolation) -> None:
    assert "MemoryError" in python("x = bytearray(3 << 30)", level).stderr
    fill = "with open('x', 'wb') as f:\n    for _ in range(200): f.write(bytes(1 << 20))"
    assert "OSError" in python(fill, level).stderr


@pytest.mark.slow
@every_level
def test_a_command_ends_when_its_worker_is_killed(level: Isolation, tmp_path: Path) -> None:
    marker = f"{os.getpid()}.{list(Isolation).index(level)}42"
    code = f"""
from orchestrator.process_runner import Bounds, Command, Isolation, run
print("begins", flush=True)
run(Command(["/bin/sh", "-c", "sleep {marker}"]), Bounds(300, 1000), Isolation("{level.value}"))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as worker:
        until = time.monotonic() + 60
        while not running(marker):
            assert time.monotonic() < until, "it never began"
            time.sleep(0.05)
        worker.kill()
    until = time.monotonic() + 20
    while running(marker) or left_behind():
        assert time.monotonic() < until, "it outlived its worker"
        time.sleep(0.05)


@pytest.mark.slow
@every_level
def test_what_a_killed_guardian_left_goes_with_the_next_command(level: Isolation) -> None:
    found: list[BaseException] = []

    def attempt() -> None:
        try:
            sh("sleep 600", level, bounds=Bounds(300, 1000))
        except GuardianLost as error:
            found.append(error)

    thread = threading.Thread(target=attempt)
    before = set(descendants(os.getpid()))
    thread.start()
    until = time.monotonic() + 60
    while True:
        new = set(descendants(os.getpid())) - before
        if any(b"sleep" in _command_line(pid) for pid in new):
            break
        assert time.monotonic() < until
        time.sleep(0.02)
    guardians = [pid for pid in new if b"guardian" in _command_line(pid)]
    os.kill(guardians[0], signal.SIGKILL)
    thread.join(30)
    assert len(found) == 1
    assert sh("echo on", level).stdout == "on\n"
    assert left_behind() == []


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
@every_level
def test_a_launched_command_runs_on_and_ends_by_its_deadline(level: Isolation) -> None:
    marker = f"{os.getpid()}.{list(Isolation).index(level)}43"
    launch(Command(["/bin/sh", "-c", f"sleep {marker}"]), Bounds(3, 1000), level)
    until = time.monotonic() + 60
    while not running(marker):
        assert time.monotonic() < until, "it never began"
        time.sleep(0.02)
    while running(marker) or left_behind():
        assert time.monotonic() < until, "it outlived its deadline"
        time.sleep(0.05)


@every_level
def test_a_missing_program_is_told(level: Isolation) -> None:
    ended = run(Command(["/no/such/program"]), BOUNDS, level)
    assert ended.code != 0
    assert "No such file" in ended.stderr


@pytest.mark.slow
@every_level
def test_an_interrupt_of_the_worker_ends_the_command(level: Isolation) -> None:
    marker = f"{os.getpid()}.{list(Isolation).index(level)}44"

    def interrupt(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(TimeoutError):
            sh(f"sleep {marker}", level, bounds=Bounds(300, 1000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert not running(marker)
    assert left_behind() == []


def test_levels_are_ordered() -> None:
    order = list(Isolation)
    for index, level in enumerate(order):
        assert [level.reaches(least) for least in order] == [index <= n for n in range(len(order))]
