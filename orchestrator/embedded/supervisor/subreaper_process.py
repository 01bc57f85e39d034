"""The keeper: a small process that stands between a parent and the processes it started.

Run as ``python -I -S keeper.py SOCKET PARENT``. It is one file that imports nothing of ours,
so that it stays small in memory and starts at once. It answers for three things:

- **No process outlives the parent**, however the parent ends. The kernel signals the keeper
  when the *thread* that started it ends (PR_SET_PDEATHSIG); only a changed parent id then
  means that the process is gone. An end of file on the socket means the same.
- **No process outlives the keeper.** Each one has a death signal of its own, set after its
  privileges were dropped (a change of credentials clears it) and checked against a parent
  that died in between.
- **Nothing that a process leaves behind outlives that process.** The keeper is the reaper
  of its descendants (PR_SET_CHILD_SUBREAPER): a killed worker's pool, a killed postmaster's
  backends fall to it, and it ends them. Kept processes must therefore not daemonize.

Both sides speak lines of JSON. In: ``{"do": "spawn", "name", "argv", "env", "cwd", "log",
"lock", "user", "restart", "stop", "death", "grace", "tier"}``, ``{"do": "signal", "name",
"signal"}``, ``{"do": "stop", "name", "grace"}``. Out: ``{"event": "started", "name",
"pid"}``, ``{"event": "failed", "name", "error"}``, ``{"event": "exited", "name", "code",
"again_in"}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

#: Sent by the kernel to the keeper when the thread that started it has ended.
PARENT_GONE = signal.SIGUSR1

#: A process that dies sooner than this after its start waits longer before the next one.
SHORT_LIFE = 10.0
LONGEST_WAIT = 5.0

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class SupervisedChild:
    """One process that the keeper answers for, over all its starts."""

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
        """Whether it neither runs nor will run again."""
        return self.pid is None and self.again_at is None

    def wait_before_next(self) -> float:
        """Seconds until the next start: none after a long life, doubling after short ones."""
        if time.monotonic() - self.started > SHORT_LIFE:
            self.short_lives = 0
        self.short_lives += 1
        return 0.0 if self.short_lives == 1 else min(0.1 * 2**self.short_lives, LONGEST_WAIT)


class Subreaper:
    """Starts, watches and ends processes until its parent is gone or says so."""

    def __init__(self, parent: socket.socket, parent_pid: int) -> None:
        self.parent = parent
        self.parent_pid = parent_pid
        self.kept: dict[str, SupervisedChild] = {}
        self.closing = False
        self.unread = b""

    def run(self) -> None:
        """Work until everything has ended after the parent's end."""
        wake, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, PARENT_GONE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _prctl(PR_SET_PDEATHSIG, PARENT_GONE, 0, 0, 0)
        self._signalled(PARENT_GONE, None)
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self.parent, select.POLLIN)
        while True:
            self._reap()
            timeout = self._due()
            if self.closing and all(kept.ended for kept in self.kept.values()):
                if not _children():
                    return
                self._sweep()
            for ready, _ in poll.poll(timeout):
                if ready == wake:
                    _drain(wake)
                elif not self._read():
                    poll.unregister(self.parent)
                    self.closing = True

    def _signalled(self, number: int, _frame: object) -> None:
        if number == PARENT_GONE:
            self.closing |= os.getppid() != self.parent_pid
        elif number != signal.SIGCHLD:
            self.closing = True

    # Orders of the parent

    def _read(self) -> bool:
        """Take the orders that have arrived; False at the end of them."""
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
        kept = self.kept[order["name"]] = SupervisedChild(order)
        self._start(kept)

    def _do_signal(self, order: dict[str, Any]) -> None:
        kept = self.kept.get(order["name"])
        if kept and kept.pid:
            os.kill(kept.pid, order["signal"])

    def _do_stop(self, order: dict[str, Any]) -> None:
        kept = self.kept.get(order["name"])
        if kept:
            self._stop(kept, order["grace"])

    # What happens to processes

    def _start(self, kept: SupervisedChild) -> None:
        kept.again_at, kept.started = None, time.monotonic()
        try:
            kept.pid = _spawn(kept.order)
        except OSError as error:
            kept.restart = False
            self._send_event(event="failed", name=kept.name, error=str(error))
        else:
            self._send_event(event="started", name=kept.name, pid=kept.pid)

    def _stop(self, kept: SupervisedChild, grace: float) -> None:
        """Ask for its end, once; `_due` insists when the grace is over."""
        if kept.again_at is not None:
            kept.again_at = None
            self._send_event(event="exited", name=kept.name, code=kept.code, again_in=None)
        if kept.pid and not kept.stopping:
            os.kill(kept.pid, kept.order["stop"])
            kept.kill_at = time.monotonic() + grace
        kept.restart, kept.stopping = False, True

    def _reap(self) -> None:
        """Take the exit statuses that wait, and end what an ended process left behind."""
        mine = {kept.pid: kept for kept in self.kept.values() if kept.pid}
        found = False
        while (status := _peek()) is not None:
            found = True
            kept = mine.get(status.si_pid)
            if kept:
                # Before its id is given back: nobody else can have this process group.
                _kill_group(status.si_pid)
            _, wait_status = os.waitpid(status.si_pid, 0)
            if kept:
                self._exited(kept, os.waitstatus_to_exitcode(wait_status))
        if found:
            self._sweep()

    def _sweep(self) -> None:
        """End the descendants that fell to the keeper because their parent has ended."""
        for orphan in _children() - {kept.pid for kept in self.kept.values()}:
            os.kill(orphan, signal.SIGKILL)

    def _exited(self, kept: SupervisedChild, code: int) -> None:
        kept.pid, kept.kill_at, kept.code, again_in = None, None, code, None
        if kept.restart and not self.closing:
            again_in = kept.wait_before_next()
            kept.again_at = time.monotonic() + again_in
        self._send_event(event="exited", name=kept.name, code=code, again_in=again_in)

    def _due(self) -> int | None:
        """Do what is due; milliseconds until the next thing will be, None for never."""
        if self.closing:
            self._close()
        now = time.monotonic()
        for kept in self.kept.values():
            if kept.pid and kept.kill_at is not None and kept.kill_at <= now:
                os.kill(kept.pid, signal.SIGKILL)
                kept.kill_at = None
            elif kept.again_at is not None and kept.again_at <= now:
                self._start(kept)
        times = [at for kept in self.kept.values() for at in (kept.kill_at, kept.again_at) if at]
        return max(0, int((min(times) - now) * 1000) + 1) if times else None

    def _close(self) -> None:
        """End the highest tier that still runs; those below it serve it until it has ended."""
        while left := [kept for kept in self.kept.values() if not kept.ended]:
            top = max(kept.order["tier"] for kept in left)
            tier = [kept for kept in left if kept.order["tier"] == top]
            for kept in tier:
                self._stop(kept, kept.order["grace"])
            # Who only waited to be started again has ended by this: no signal will tell of it.
            if not all(kept.ended for kept in tier):
                return

    def _send_event(self, **event: Any) -> None:
        try:
            self.parent.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self.closing = True  # nobody is there to be told


def _spawn(order: dict[str, Any]) -> int:
    """Start one process; its id.

    Raises:
        OSError: it could not be started, with the reason that it met after the fork.
    """
    trouble, report = os.pipe2(os.O_CLOEXEC)
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        _exec_in_child(order, keeper, report)
    os.close(report)
    with open(trouble, "rb") as file:
        message = file.read()
    if message:
        os.waitpid(pid, 0)
        raise OSError(message.decode())
    return pid


def _exec_in_child(order: dict[str, Any], keeper: int, report: int) -> NoReturn:
    """Turn this fork into what was asked for; never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, others need it
        _redirect(order["log"])
        if order["lock"]:
            _lock_file(order["lock"])
        # Entered before the privileges go: the folders above it may be closed to the user.
        os.chdir(order["cwd"])
        if order["user"]:
            uid, gid = order["user"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        _prctl(PR_SET_PDEATHSIG, order["death"], 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except BaseException as error:  # noqa: BLE001 (whatever it is, the parent is told)
        os.write(report, f"{order['argv'][0]}: {error}".encode())
    os._exit(127)


def _redirect(log: str | None) -> None:
    """Input from nowhere; both outputs to the log, or where the parent's errors go."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if log else 2
    os.dup2(output, 1)
    os.dup2(output, 2)


def _lock_file(path: str) -> None:
    """Lock a file for as long as this process or a descendant of it lives, and sign it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 20).decode().strip() or "unknown"
        raise OSError(f"{path} is held by process {holder}") from None
    os.ftruncate(file, 0)
    os.write(file, f"{os.getpid()}\n".encode())
    os.set_inheritable(file, True)


def _peek() -> os.waitid_result | None:
    """Who has ended, without taking the status yet."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def _kill_group(pid: int) -> None:
    # Nothing of the group may be left, or only what is no longer ours to end.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:
        return set()  # a kernel built without that list: process groups must do


def _drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 512):
            pass


if __name__ == "__main__":
    Subreaper(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).run()
