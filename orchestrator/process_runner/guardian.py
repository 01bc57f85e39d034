"""The guardian of one command: a program of its own (`runner` starts it).

Standard library only, without site packages, so that it starts at once. It reads one line of
JSON from its standard input, the order (see `runner`), and writes one line, the report. Until then
its standard input stays open: when that ends, the worker has died or has given up, and the command
ends too. It is the subreaper of everything that the command starts, so that nothing outlives it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.clock import monotonic
from orchestrator.process_runner import confinement
from orchestrator.process_runner.command_folder import CommandFolder
from orchestrator.process_runner.isolation import PATH, VARIABLES_DESCRIPTOR
from orchestrator.process_runner.process_tree import descendants, kill_all_of

Json = Any

#: Seconds for which output is read after the command's end: a daemon may keep its pipes open.
_LAST_OUTPUT = 0.2
#: Seconds in which all descendants must have gone.
_KILL_TIME = 5.0
_POLL = 0.05
_CHUNK = 65536
_BUBBLEWRAP_VARIABLES = {"PATH": PATH, "LANG": "C.UTF-8"}

#: What a command may read without namespaces.
_READABLE = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache",
    "/etc/alternatives", "/etc/ssl/openssl.cnf", "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip


class Stopped(Exception):  # no error: why the command was ended
    """The command must end: ``deadline``, ``output`` or ``cancelled``."""


class Guard:
    """One command: its folder, its process, what it wrote."""

    def __init__(self, order: dict[str, Json]) -> None:
        self.order = order
        self.uid: int | None = order["uid"]
        self.folder: CommandFolder | None = None
        self.pid = 0
        self.code: int | None = None
        self.output: dict[int, bytearray] = {}
        self.left: int = order["max_output"]

    def make_folder(self) -> None:
        """Make the command's folder, except where bubblewrap makes one in memory."""
        if self.order["sandbox"]:
            return
        self.folder = CommandFolder(Path(self.order["base"]), self.uid)
        if self.order["script"] is not None:
            self.folder.write(self.order["script_name"], self.order["script"])

    def remove_folder(self) -> None:
        """Remove what `make_folder` has made."""
        if self.folder is not None:
            self.folder.remove()

    # -- its process -------------------------------------------------------------------

    def start(self) -> tuple[int, int, int]:
        """Start the command. Return the pipes of its input, output and error output."""
        pipes = [os.pipe() for _ in range(3)]
        guardian = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_command(guardian, pipes[0][0], pipes[1][1], pipes[2][1])
        for descriptor in (pipes[0][0], pipes[1][1], pipes[2][1]):
            os.close(descriptor)
        return pipes[0][1], pipes[1][0], pipes[2][0]

    def _become_command(self, guardian: int, stdin: int, stdout: int, stderr: int) -> NoReturn:
        try:
            files = [self._script_file(), self._variables_file()] if self.folder is None else []
            for target, descriptor in enumerate((stdin, stdout, stderr, *files)):
                os.dup2(descriptor, target)
            os.closerange(3 + len(files), 65536)
            os.setsid()
            os.umask(0o077)
            self._limit()
            if self.uid is not None:
                os.setgroups([])
                os.setresgid(self.uid, self.uid, self.uid)
                os.setresuid(self.uid, self.uid, self.uid)
            confinement.prctl(confinement.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guardian:
                os._exit(1)
            self._confine()
            argv, variables = self.order["argv"], self._environment()
            if self.folder is None:
                # Give bubblewrap its own environment. It runs before the namespaces exist, and the
                # command's variables (LD_PRELOAD) would decide what it loads there.
                options = ["--args", str(VARIABLES_DESCRIPTOR), "--"]
                argv, variables = [*self.order["sandbox"], *options, *argv], _BUBBLEWRAP_VARIABLES
            os.execvpe(argv[0], argv, variables)
        except BaseException as error:  # noqa: BLE001  # it must not run the guardian's code
            os.write(2, f"the command could not be started: {error}\n".encode())
        os._exit(126)

    def _script_file(self) -> int:
        """Return the descriptor of a file in memory with the command's script."""
        return _file_in_memory((self.order["script"] or "").encode("utf-8", "surrogatepass"))

    def _variables_file(self) -> int:
        """Return the descriptor of a file with options that set the command's variables. In a
        file, because other users of the machine can read command lines."""
        options = ["--clearenv"]
        for name, value in self._environment().items():
            options += ["--setenv", name, value]
        return _file_in_memory(
            "".join(f"{one}\0" for one in options).encode("utf-8", "surrogatepass")
        )

    def _limit(self) -> None:
        for name, value in self.order["limits"].items():
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (limit, limit))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    def _confine(self) -> None:
        """Take from a command without namespaces what it does not need."""
        confinement.prctl(confinement.PR_SET_NO_NEW_PRIVS, 1)
        if self.folder is None:
            return
        os.chdir(self.folder.path)
        if self.order["confined"]:
            readable = [*_READABLE, *self.order["readable"]]
            confinement.allow_only_files(readable, [str(self.folder.path), "/dev/null"])
            confinement.refuse_system_calls()

    def _environment(self) -> dict[str, str]:
        home = str(self.folder.path) if self.folder else "/work"
        own = {"PATH": self.order["path"], "LANG": "C.UTF-8", "HOME": home, "TMPDIR": home}
        return {**own, **self.order["environment"]}

    # -- its input and output ----------------------------------------------------------

    def follow(self, stdin: int, stdout: int, stderr: int) -> None:
        """Pass on input and output until the command has ended. Raises `Stopped`."""
        self.output = {stdout: bytearray(), stderr: bytearray()}
        waiting = base64.b64decode(self.order["stdin"])
        poll = select.poll()
        for descriptor in (stdout, stderr):
            poll.register(descriptor, select.POLLIN)
        poll.register(0, 0)  # only its end: the worker has died or given up
        waiting = _register_input(poll, stdin, waiting)
        until, open_outputs = monotonic() + self.order["deadline"], 2
        last_output = None
        while self.code is None or open_outputs:
            now = monotonic()
            if self.code is None and now > until:
                raise Stopped("deadline")
            if last_output is not None and now > last_output:
                return
            for descriptor, _ in poll.poll(_POLL * 1000):
                if descriptor == 0:
                    if not self.order["detached"]:
                        raise Stopped("cancelled")
                    poll.unregister(0)
                elif descriptor == stdin:
                    waiting = _write_input(poll, stdin, waiting)
                elif not self._read(descriptor):
                    poll.unregister(descriptor)
                    open_outputs -= 1
            self._reap()
            if self.code is not None and last_output is None:
                last_output = monotonic() + _LAST_OUTPUT

    def _read(self, descriptor: int) -> bool:
        """Read some output; return False at its end. Raises `Stopped` if it is too much."""
        data = os.read(descriptor, _CHUNK)
        self.left -= len(data)
        if self.left < 0 and not self.order["detached"]:
            raise Stopped("output")
        if self.left >= 0:
            self.output[descriptor] += data
        return bool(data)

    def _reap(self) -> None:
        """Take over the exit statuses of children: the command's, and those of orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.code = os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End the command and all its descendants."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.pid and self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self.uid is not None:
            kill_all_of(self.uid)
        until = monotonic() + _KILL_TIME
        while (living := descendants(os.getpid())) and monotonic() < until:
            for pid in living:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.002)
        self._reap()

    def texts(self) -> tuple[str, str]:
        """Return what the command wrote, as text."""
        stdout, stderr = (bytes(data).decode("utf-8", "replace") for data in self.output.values())
        return stdout, stderr


def _file_in_memory(data: bytes) -> int:
    """Return a descriptor at the beginning of a file with this content. Descriptors below 5 are
    left free, because files get these numbers later."""
    descriptor = os.memfd_create("input")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16)


def _register_input(poll: select.poll, stdin: int, waiting: bytes) -> bytes:
    os.set_blocking(stdin, False)
    if waiting:
        poll.register(stdin, select.POLLOUT)
    else:
        os.close(stdin)
    return waiting


def _write_input(poll: select.poll, stdin: int, waiting: bytes) -> bytes:
    """Write some input; return the rest. Close the pipe at its end, or if nobody reads it."""
    try:
        waiting = waiting[os.write(stdin, waiting[:_CHUNK]) :]
    except BlockingIOError:
        return waiting
    except BrokenPipeError:
        waiting = b""
    if not waiting:
        poll.unregister(stdin)
        os.close(stdin)
    return waiting


def _carry_out(order: dict[str, Json]) -> dict[str, Json]:
    guard = Guard(order)
    reason, error = None, None
    try:
        guard.make_folder()
        guard.follow(*guard.start())
    except Stopped as stopped:
        reason = str(stopped)
    except OSError as failure:
        error = str(failure)
    finally:
        guard.kill()
        guard.remove_folder()
    if error is not None:
        return {"error": error}
    stdout, stderr = guard.texts()
    return {"reason": reason, "code": guard.code, "stdout": stdout, "stderr": stderr}


def _detach() -> None:
    """Continue in a process that nobody waits for, and let the first one end with a report."""
    if os.fork():
        os.write(1, b'{"started": true}\n')
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise Stopped("cancelled")


def main() -> None:
    """Read the order, carry it out, write the report."""
    order = json.loads(sys.stdin.buffer.readline())
    confinement.hide_memory()
    if order["detached"]:
        _detach()
    confinement.prctl(confinement.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    report = _carry_out(order)
    if not order["detached"]:
        with contextlib.suppress(BrokenPipeError):
            os.write(1, b"")
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()
