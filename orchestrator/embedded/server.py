"""The base of the embedded servers: data folder, lock, port, password, start and stop."""

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
#: Below the range of local ports of outgoing connections. A client of a stopped server could
#: otherwise get the server's port as its own local port, and connect to itself.
PORTS = range(20_000, 32_000)
#: Longest wait for a data folder, in seconds: a server that is ending keeps its lock until then.
FOLDER_TIMEOUT = 10.0


class InUse(ConfigurationError):
    """Another server uses this data folder."""


class Server:
    """A server with its own data folder; a context manager.

    `port` None means a free port, which restarts of this object keep. With a `supervisor` the
    server runs under it, in the lowest tier (stopped last); otherwise under a supervisor of its
    own.
    """

    #: The name of the server in messages and among a supervisor's processes.
    kind: ClassVar[str]
    #: Whether a server that dies is started again, until it is stopped.
    restarts: bool = False
    #: Text of the log if a start failed because another process took the port meanwhile.
    port_taken: ClassVar[str] = "ddress already in use"

    def __init__(
        self, data_dir: Path | str, port: int | None = None, supervisor: Supervisor | None = None
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.port = port or 0
        self._fixed = port is not None
        self._shared_supervisor = supervisor
        self._own: Supervisor | None = None
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The address for clients, with the password."""
        raise NotImplementedError

    @property
    def password(self) -> str:
        """The password, created once and stored with the data."""
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
        """Start the server, wait until it answers, return its `url`. No effect if it runs.

        Raises:
            InUse: another server uses this data folder.
            ConfigurationError: the server cannot run on this machine or in this folder.
            ProcessFailed: it did not start; the message ends with its log.
        """
        if self._process is not None and self._process.running:
            return self.url
        with self._folder():
            self._prepare()
        for _ in range(5):
            self.port = self.port or free_port()
            try:
                self._process = self._launch(self._shared_supervisor or self._supervisor())
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
        """Stop the server in order, with all data written."""
        if self._process is not None:
            self._process.stop(grace=20)
            self._process = None
        self._release()

    def kill(self) -> None:
        """End the server by SIGKILL, like a crash; `start` starts it again on the same port."""
        self._running().kill()
        self._process = None
        self._fixed = True

    def restart(self) -> str:
        """Stop and start on the same port."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Pause the process (SIGSTOP) until `resume`."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused process."""
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
        """Prepare the folder for a start; called while the folder is locked."""
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
            restart=self.restarts,
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
        """Create the data folder if needed, and lock it during the preparation.

        The lock is on the pid file. The server locks it as well while it or a child of it lives:
        a process that gets the lock knows that the contents of the pid files are old.
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
    deadline, pause = clock.monotonic() + FOLDER_TIMEOUT, threading.Event()
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() > deadline:
                owner = os.pread(file, 20, 0).decode().strip() or "unknown"
                raise InUse(f"{folder} is in use by process {owner}") from None
            pause.wait(0.05)  # flock has no time limit


def _make_password(path: Path) -> None:
    if not path.exists() or not path.stat().st_size:
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="ascii")


def free_port() -> int:
    """Return a port of `PORTS` on which no process listens at the moment."""
    while True:
        port = PORTS[secrets.randbelow(len(PORTS))]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
