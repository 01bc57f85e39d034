"""Start a guardian, give it its order, wait for its report."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.process_runner.isolation import (
    PATH,
    Isolation,
    fresh_uid,
    sandbox_options,
    work_folder_options,
)
from orchestrator.python_executable import python_executable

#: The stated limits of every command; memory in bytes.
_LIMITS = {
    "RLIMIT_CORE": 0,
    "RLIMIT_NOFILE": 256,
    "RLIMIT_FSIZE": 64 << 20,
    "RLIMIT_DATA": 1 << 30,
}
#: Most processes and threads of a command that has a user id of its own.
_MAX_PROCESSES = 128

#: Seconds that a guardian has to end after the worker has given up.
_GUARDIAN_TIME = 10.0

#: The folder of the package, and the program that makes a Python without site packages a guardian.
_ROOT = Path(__file__).resolve().parents[2]
_GUARDIAN = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    "from orchestrator.process_runner.guardian import main; main()"
)


class GuardianLost(Exception):
    """The guardian ended without a report; or the command could not be started."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: `argv`, its standard input, and its own variables. `script` is the text of a
    file that stands in the command's folder as `script_name`; `readable` are further files that
    the command needs, such as its interpreter."""

    argv: Sequence[str]
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    script: str | None = None
    script_name: str = "script"
    readable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a command may run, in seconds, and how much it may write, in bytes."""

    deadline: float
    max_output: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. `reason`: why the guardian ended it (``deadline``, ``output``,
    ``cancelled``); None if it ended by itself. `code` is its exit status, negative for a signal."""

    code: int | None
    stdout: str
    stderr: str
    reason: str | None = None


def run(command: Command, bounds: Bounds, isolation: Isolation) -> Ended:
    """Run a command to its end. Raises `GuardianLost`.

    An exception that interrupts the wait, such as a time limit, ends the command.
    """
    guardian = _start_guardian()
    try:
        report = _ask(guardian, _order(command, bounds, isolation, detached=False))
    finally:
        _end(guardian)
    if report is None:
        raise GuardianLost("the process that watched the command was killed")
    if "error" in report:
        raise GuardianLost(report["error"])
    return Ended(report["code"], report["stdout"], report["stderr"], report["reason"])


def launch(command: Command, bounds: Bounds, isolation: Isolation) -> None:
    """Start a command that nobody waits for; it ends by its deadline. Raises `GuardianLost`."""
    guardian = _start_guardian()
    try:
        if _ask(guardian, _order(command, bounds, isolation, detached=True)) is None:
            raise GuardianLost("the command could not be started")
    finally:
        _end(guardian)


def _start_guardian() -> subprocess.Popen[bytes]:
    """Start a guardian. Raises `GuardianLost` if the machine has no room for another process."""
    try:
        return subprocess.Popen(
            [python_executable(), "-I", "-S", "-c", _GUARDIAN, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": PATH, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    except OSError as error:
        raise GuardianLost(f"no process could be started: {error.strerror}") from error


def _order(
    command: Command, bounds: Bounds, isolation: Isolation, *, detached: bool
) -> dict[str, Any]:
    script = None if command.script is None else command.script_name
    sandbox: list[str] = []
    if isolation is Isolation.NAMESPACES:
        options = sandbox_options() or ()
        sandbox = [*options, *work_folder_options(script, command.readable)]
    uid = fresh_uid() if isolation in (Isolation.NAMESPACES, Isolation.UID) else None
    limits = dict(_LIMITS) if uid is None else {**_LIMITS, "RLIMIT_NPROC": _MAX_PROCESSES}
    return {
        "argv": list(command.argv),
        "stdin": base64.b64encode(command.stdin).decode(),
        "environment": dict(command.environment),
        "script": command.script,
        "script_name": command.script_name,
        "readable": list(command.readable),
        "path": PATH,
        "base": str(Path(tempfile.gettempdir(), f"orchestrator-commands-{os.geteuid()}")),
        "sandbox": sandbox,
        "confined": isolation in (Isolation.UID, Isolation.PROCESS),
        "uid": uid,
        "limits": limits,
        "deadline": bounds.deadline,
        "max_output": bounds.max_output,
        "detached": detached,
    }


def _ask(guardian: subprocess.Popen[bytes], order: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the guardian reports; None if it ends without a report."""
    if guardian.stdin is None or guardian.stdout is None:
        raise GuardianLost("it has no pipes")
    with suppress(BrokenPipeError):
        guardian.stdin.write(json.dumps(order).encode() + b"\n")
        guardian.stdin.flush()
    line = guardian.stdout.readline()
    if not line.endswith(b"\n"):
        return None
    report: dict[str, Any] = json.loads(line)
    return report


def _end(guardian: subprocess.Popen[bytes]) -> None:
    """Let the guardian end: the end of its input tells it to. Kill it if it does not."""
    for pipe in (guardian.stdin, guardian.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        guardian.wait(_GUARDIAN_TIME)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()
