"""The parent's side: start processes, wait for a fact about them, end them in order.

    with Supervisor() as processes:
        api = processes.spawn("api", [...], log=folder / "api.log", ready=http_ok(url))
        worker = processes.spawn("worker", [...], restart=True)
        worker.kill()          # it is started again
    # none of them is left, nor anything that they started

A `Supervisor` has one keeper process (see `keeper`), which outlives it by the time that an
orderly end takes, even after a SIGKILL. All states arrive from there; nothing is polled
but the facts of the outside world (an open port, an HTTP answer).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orchestrator.embedded.supervisor import subreaper_process
from orchestrator.embedded.supervisor.process import Process, ProcessFailed
from orchestrator.errors import ConfigurationError


class Supervisor:
    """Starts processes through one keeper of their own; ends them all at the latest with itself.

    `on_event` is called for every start, end and failure, from a thread of the supervisor's:
    ``{"event": "started" | "exited" | "failed", "name": ..., "pid" | "code" | "error": ...}``.
    """

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        if sys.platform != "linux":
            raise ConfigurationError("processes are supervised on Linux only")
        self.processes: dict[str, Process] = {}
        self.changed = threading.Condition(threading.RLock())
        self._on_event = on_event
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._keeper = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    subreaper_process.__file__,
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # Ctrl-C at the terminal is for us; we end the others in order.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name="supervisor", daemon=True)
        self._reader.start()

    @property
    def keeper_pid(self) -> int:
        """The id of the process between us and all others."""
        return self._keeper.pid

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        lock: Path | None = None,
        user: tuple[int, int] | None = None,
        restart: bool = False,
        ready: Callable[[Process], bool] | None = None,
        timeout: float = 30.0,
        stop: int = signal.SIGTERM,
        death: int = signal.SIGKILL,
        grace: float = 10.0,
        tier: int = 1,
    ) -> Process:
        """Start a process, and wait until `ready` says yes if it is given.

        `env` replaces the environment; `log` takes both outputs (else they go to our standard
        error); `lock` is a file that it holds locked, with its id in it, as long as it or a
        child of it lives; `user` is the (user id, group id) that it runs as. With `restart`
        it is started again when it ends, at once the first time and later with growing
        pauses. `stop` is the signal that asks for its end, `grace` the seconds until SIGKILL
        insists, `death` the signal that it gets should the keeper be killed. At the end of
        the supervisor the highest `tier` is stopped first.

        Raises:
            ProcessFailed: it could not be started, or did not get ready in `timeout` seconds;
                nothing of it runs any more.
        """
        process = Process(self, name, log)
        with self.changed:
            if name in self.processes and not self.processes[name].ended:
                raise ProcessFailed(f"{name} is already running")
            self.processes[name] = process
        self.order(
            "spawn",
            name=name,
            argv=[str(part) for part in argv],
            env=dict(os.environ if env is None else env),
            cwd=str(cwd or Path.cwd()),
            log=str(log) if log else None,
            lock=str(lock) if lock else None,
            user=user,
            restart=restart,
            stop=int(stop),
            death=int(death),
            grace=grace,
            tier=tier,
        )
        try:
            with self.changed:
                self.changed.wait_for(lambda: process.starts or process.ended)
            if process.error:
                raise ProcessFailed(process.error)
            if ready:
                process.wait_until(ready, timeout)
        except BaseException:
            process.stop(grace=0)
            raise
        return process

    def order(self, do: str, **details: Any) -> None:
        """Tell the keeper to do something."""
        line = json.dumps({"do": do, **details}).encode() + b"\n"
        try:
            with self.changed:
                self._socket.sendall(line)
        except OSError as error:
            raise ProcessFailed("the supervisor has ended") from error

    def stop(self) -> None:
        """End everything, the highest tier first; returns when nothing is left."""
        with contextlib.suppress(OSError):  # stopped before, or the keeper is gone
            self._socket.shutdown(socket.SHUT_WR)
        self._keeper.wait()
        self._reader.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionResetError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._note(json.loads(line))
        with self.changed:
            for process in self.processes.values():
                if not process.ended:
                    process.note({"event": "exited", "code": process.code, "again_in": None})
            self.changed.notify_all()

    def _note(self, event: Mapping[str, Any]) -> None:
        with self.changed:
            self.processes[event["name"]].note(event)
            self.changed.notify_all()
        if self._on_event:
            self._on_event(event)
