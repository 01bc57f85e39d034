"""What the embedded servers have in common: a folder, a lock, a port, a password, a life."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from orchestrator import clock
from orchestrator.embedded.supervisor import Process, ProcessFailed, Supervisor
from orchestrator.errors import ConfigurationError

HOST = "127.0.0.1"
#: Below the range from which the kernel takes the local ports of outgoing connections: a
#: client that tries to reach a stopped server could otherwise be given the server's own
#: port, and connect to itself.
PORTS = range(20_000, 32_000)
#: A server that was just told to end, or whose parent was killed, still holds its folder.
WAIT_FOR_FOLDER = 10.0


class InUse(ConfigurationError):
    """Another server works on this data."""


class Server:
    """A server on a data folder of its own; a context manager.

    `port` None takes a free one and keeps it over restarts of this object. With a
    `supervisor` the server lives under it (below its other processes: it is stopped last);
    otherwise under one of its own.
    """

    #: What it is called in messages and among a supervisor's processes.
    kind: ClassVar[str]
    #: Whether a start failed because another process took the port in between.
    port_taken: ClassVar[str] = "ddress already in use"

    def __init__(
        self, data_dir: Path | str, port: int | None = None, supervisor: Supervisor | None = None
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.port = port or 0
        self._fixed = port is not None
        self._given = supervisor
        self._own: Supervisor | None = None
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect, the password included."""
        raise NotImplementedError

    @property
    def password(self) -> str:
        """Made once, kept with the data."""
        return (self.data_dir / "password").read_text(encoding="ascii")

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self.data_dir / "server.log"

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        return self._running().pid

    def start(self) -> str:
        """Start the server and wait until it answers; its `url`. Nothing happens if it runs.

        Raises:
            InUse: another server works on this data.
            ConfigurationError: this machine or this folder can't carry the server.
            ProcessFailed: it did not start; the message ends with its log.
        """
        if self._process is not None and self._process.running:
            return self.url
        with self._folder():
            self._prepare()
        for _ in range(5):
            self.port = self.port or free_port()
            try:
                self._process = self._launch(self._given or self._supervisor())
            except ProcessFailed as failed:
                self._release()
                if "is held by process" in str(failed):
                    raise InUse(f"{self.kind}: {failed}") from failed
                if self._fixed or self.port_taken not in str(failed):
                    raise
                self.port = 0
            else:
                return self.url
        raise ConfigurationError(f"{self.kind} found no free port on {HOST}")

    def stop(self) -> None:
        """End the server in order; its data is complete afterwards."""
        if self._process is not None:
            self._process.stop(grace=20)
            self._process = None
        self._release()

    def kill(self) -> None:
        """SIGKILL, as a crash would have it; `start` brings it back on the same port."""
        self._running().kill()
        self._process = None
        self._fixed = True

    def restart(self) -> str:
        """Stop and start on the same port."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Stop its process from running (SIGSTOP) until `resume`."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process run on."""
        self._running().signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        """Make the folder ready for a start; nobody else works on it meanwhile."""
        raise NotImplementedError

    def _launch(self, supervisor: Supervisor) -> Process:
        """Start the process and wait until it answers."""
        raise NotImplementedError

    def _spawn(self, supervisor: Supervisor, argv: list[str], **options: Any) -> Process:
        return supervisor.spawn(
            f"{self.kind}:{self.port}",
            argv,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            log=self.log,
            lock=self.data_dir / "server.pid",
            grace=20,
            tier=0,
            **options,
        )

    def _running(self) -> Process:
        if self._process is None:
            raise ProcessFailed(f"{self.kind} is not running")
        return self._process

    def _supervisor(self) -> Supervisor:
        if self._own is None:
            self._own = Supervisor()
        return self._own

    def _release(self) -> None:
        if self._own is not None:
            self._own.stop()
            self._own = None

    @contextlib.contextmanager
    def _folder(self) -> Iterator[None]:
        """Hold the data folder, made if need be, while it is prepared.

        The lock is on the pid file, which the server then holds itself for as long as it or
        a child of it lives: who gets the lock knows that whatever the pid files in there
        say is stale.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.data_dir / "server.pid").open("a+")
        except OSError as error:
            raise ConfigurationError(f"{self.kind}: {error}") from error
        with file:
            _lock(file.fileno(), self.data_dir)
            _make_password(self.data_dir / "password")
            yield


def _lock(file: int, folder: Path) -> None:
    deadline, patience = clock.monotonic() + WAIT_FOR_FOLDER, threading.Event()
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() > deadline:
                holder = os.pread(file, 20, 0).decode().strip() or "unknown"
                raise InUse(f"{folder} is in use by process {holder}") from None
            patience.wait(0.05)  # a lock can't be awaited with a time limit


def _make_password(path: Path) -> None:
    if not path.exists() or not path.stat().st_size:
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="ascii")


def free_port() -> int:
    """A port of `PORTS` that nobody listens on at the moment."""
    while True:
        port = PORTS[secrets.randbelow(len(PORTS))]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
