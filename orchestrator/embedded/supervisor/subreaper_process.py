"""The subreaper: a small process between a parent and the processes that it starts.

Run as ``python -I -S subreaper_process.py SOCKET PARENT SYSTEM``. It imports nothing of ours but
the file SYSTEM (`linux_processes`, `macos_processes`), so that it needs little memory and starts
fast. It guarantees on Linux:

- **No process outlives the parent**, however the parent ends. The kernel signals the
  subreaper when the *thread* that started it ends (PR_SET_PDEATHSIG). The process has ended only
  if the parent id has changed too. An end of file on the socket means the same; on macOS it is
  the only sign.
- **No process outlives the subreaper.** Each process has its own death signal. It is set after
  the change of user (which clears it); a subreaper that died before is noticed by its id.
- **No child of a process outlives that process.** The subreaper becomes the parent of orphaned
  descendants (PR_SET_CHILD_SUBREAPER), such as the pool of a killed worker, and kills them.
  Supervised processes must therefore not daemonize.

Both sides exchange lines of JSON. In: ``{"do": "spawn", "name", "argv", "env", "cwd", "log",
"lock", "user", "restart", "stop", "death", "grace", "tier"}``, ``{"do": "signal", "name",
"signal"}``, ``{"do": "stop", "name", "grace"}``. Out: ``{"event": "started", "name",
"pid"}``, ``{"event": "failed", "name", "error"}``, ``{"event": "exited", "name", "code",
"again_in"}``.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

#: Sent by the kernel to the subreaper when the thread that started it has ended.
PARENT_GONE = signal.SIGUSR1

#: A process that ends earlier than this after its start, in seconds, is restarted after a pause.
SHORT_LIFE = 10.0
#: Longest pause before a restart, in seconds.
LONGEST_WAIT = 5.0


class SupervisedChild:
    """A process under the subreaper, with all its starts."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.name: str = order["name"]
        self.restart: bool = order["restart"]
        self.pid: int | None = None
        self.code: int | None = None
        self.stopping = False
        self.started = 0.0
        self.short_lives = 0
        self.again_at: float | None = None
        self.kill_at: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended for good."""
        return self.pid is None and self.again_at is None

    def wait_before_next(self) -> float:
        """Return the seconds until the next start: 0 after a long life, doubling after short
        lives."""
        if time.monotonic() - self.started > SHORT_LIFE:
            self.short_lives = 0
        self.short_lives += 1
        return 0.0 if self.short_lives == 1 else min(0.1 * 2**self.short_lives, LONGEST_WAIT)


class Subreaper:
    """Starts, watches and stops processes until its parent ends or closes the socket."""

    def __init__(self, parent: socket.socket, parent_pid: int, system: Any) -> None:
        self.parent = parent
        self.system = system
        self.parent_pid = parent_pid
        self.children: dict[str, SupervisedChild] = {}
        self.closing = False
        self.unread = b""

    def run(self) -> None:
        """Run until the parent has ended and all processes have ended."""
        wake, wakeup = self.system.pipe(blocking=False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, PARENT_GONE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self.system.adopt_orphans()
        self.system.signal_at_parents_end(PARENT_GONE)
        self._on_signal(PARENT_GONE, None)
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self.parent, select.POLLIN)
        while True:
            self._reap()
            timeout = self._run_due()
            if self.closing and all(child.ended for child in self.children.values()):
                if not self.system.children():
                    return
                self._sweep()
            for ready, _ in poll.poll(timeout):
                if ready == wake:
                    _drain(wake)
                elif not self._read():
                    poll.unregister(self.parent)
                    self.closing = True

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == PARENT_GONE:
            self.closing |= os.getppid() != self.parent_pid
        elif number != signal.SIGCHLD:
            self.closing = True

    # Orders from the parent process

    def _read(self) -> bool:
        """Execute the orders that have arrived; return False at the end of the stream."""
        try:
            data = self.parent.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            getattr(self, f"_do_{order['do']}")(order)
        return bool(data)

    def _do_spawn(self, order: dict[str, Any]) -> None:
        child = self.children[order["name"]] = SupervisedChild(order)
        self._start(child)

    def _do_signal(self, order: dict[str, Any]) -> None:
        child = self.children.get(order["name"])
        if child and child.pid:
            os.kill(child.pid, order["signal"])

    def _do_stop(self, order: dict[str, Any]) -> None:
        child = self.children.get(order["name"])
        if child:
            self._stop(child, order["grace"])

    # Start, stop and end of child processes

    def _start(self, child: SupervisedChild) -> None:
        child.again_at, child.started = None, time.monotonic()
        try:
            child.pid = _spawn(child.order, self.system)
        except OSError as error:
            child.restart = False
            self._send_event(event="failed", name=child.name, error=str(error))
        else:
            self._send_event(event="started", name=child.name, pid=child.pid)

    def _stop(self, child: SupervisedChild, grace: float) -> None:
        """Send the stop signal, once; `_run_due` sends SIGKILL after the grace period."""
        if child.again_at is not None:
            child.again_at = None
            self._send_event(event="exited", name=child.name, code=child.code, again_in=None)
        if child.pid and not child.stopping:
            os.kill(child.pid, child.order["stop"])
            child.kill_at = time.monotonic() + grace
        child.restart, child.stopping = False, True

    def _reap(self) -> None:
        """Collect exit statuses, and kill what an ended process left behind."""
        mine = {child.pid: child for child in self.children.values() if child.pid}
        found = False
        for pid, status in self.system.ended_children(mine, _kill_group):
            found = True
            if pid in mine:
                self._on_exit(mine[pid], os.waitstatus_to_exitcode(status))
        if found:
            self._sweep()

    def _sweep(self) -> None:
        """Kill orphaned descendants: their parent has ended, the subreaper is their parent now."""
        for orphan in self.system.children() - {child.pid for child in self.children.values()}:
            os.kill(orphan, signal.SIGKILL)

    def _on_exit(self, child: SupervisedChild, code: int) -> None:
        child.pid, child.kill_at, child.code, again_in = None, None, code, None
        if child.restart and not self.closing:
            again_in = child.wait_before_next()
            child.again_at = time.monotonic() + again_in
        self._send_event(event="exited", name=child.name, code=code, again_in=again_in)

    def _run_due(self) -> int | None:
        """Send due SIGKILLs and restart due processes; return the milliseconds until the next one
        is due, None for none."""
        if self.closing:
            self._close()
        now = time.monotonic()
        for child in self.children.values():
            if child.pid and child.kill_at is not None and child.kill_at <= now:
                os.kill(child.pid, signal.SIGKILL)
                child.kill_at = None
            elif child.again_at is not None and child.again_at <= now:
                self._start(child)
        times = [
            at for child in self.children.values() for at in (child.kill_at, child.again_at) if at
        ]
        return max(0, int((min(times) - now) * 1000) + 1) if times else None

    def _close(self) -> None:
        """Stop the highest tier that still runs; lower tiers serve it until it has ended."""
        while remaining := [child for child in self.children.values() if not child.ended]:
            top = max(child.order["tier"] for child in remaining)
            tier = [child for child in remaining if child.order["tier"] == top]
            for child in tier:
                self._stop(child, child.order["grace"])
            # Return while a process of this tier runs: the next call continues. A process that only
            # waits for its restart causes no wait, since `_stop` ends it at once.
            if not all(child.ended for child in tier):
                return

    def _send_event(self, **event: Any) -> None:
        try:
            self.parent.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self.closing = True  # the parent has ended


def _spawn(order: dict[str, Any], system: Any) -> int:
    """Start one process and return its id.

    Raises:
        OSError: it could not be started, with the reason after the fork.
    """
    failure, report = system.pipe(blocking=True)
    subreaper, program = os.getpid(), _program(order)
    pid = os.fork()
    if pid == 0:
        _exec_in_child(order, program, subreaper, report, system)
    os.close(report)
    with open(failure, "rb") as file:
        message = file.read()
    if message:
        os.waitpid(pid, 0)
        raise OSError(message.decode())
    return pid


def _program(order: dict[str, Any]) -> str:
    """Return the path of the program. It is searched before the change of user: a search imports
    modules, which the new user may not be allowed to read."""
    name: str = order["argv"][0]
    if "/" not in name:
        for folder in os.get_exec_path(order["env"]):
            if os.access(os.path.join(folder, name), os.X_OK):
                return os.path.join(folder, name)
    return name


def _exec_in_child(
    order: dict[str, Any], program: str, subreaper: int, report: int, system: Any
) -> NoReturn:
    """Execute the ordered program in this fork; never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, others need it
        _redirect(order["log"])
        if order["lock"]:
            _lock_file(order["lock"])
        # Change the folder before the user: the new user may have no access to the folders above.
        os.chdir(order["cwd"])
        if order["user"]:
            uid, gid = order["user"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        system.signal_at_parents_end(order["death"])
        if os.getppid() != subreaper:
            os._exit(1)
        os.execve(program, order["argv"], order["env"])
    except BaseException as error:  # noqa: BLE001 (the parent receives every error)
        os.write(report, f"{order['argv'][0]}: {error}".encode())
    os._exit(127)


def _redirect(log: str | None) -> None:
    """Read stdin from /dev/null; write stdout and stderr to the log, or to the parent's stderr."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if log else 2
    os.dup2(output, 1)
    os.dup2(output, 2)


def _lock_file(path: str) -> None:
    """Lock a file while this process or a descendant lives, and write our id into it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(file, 20).decode().strip() or "unknown"
        raise OSError(f"{path} is held by process {owner}") from None
    os.ftruncate(file, 0)
    os.write(file, f"{os.getpid()}\n".encode())
    os.set_inheritable(file, True)


def _kill_group(pid: int) -> None:
    # Ignore a process group that is empty, or that may not be killed: its id may belong to another
    # user's processes by now.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 512):
            pass


def _system(path: str) -> Any:
    """Load the functions of this system from their file."""
    spec = importlib.util.spec_from_file_location("system", path)
    assert spec is not None  # noqa: S101  it is a file of ours
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    Subreaper(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), _system(sys.argv[3])).run()
