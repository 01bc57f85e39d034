"""The parent's side: starts processes, waits until they are ready, stops them in order.

    with Supervisor() as processes:
        api = processes.spawn("api", [...], log=folder / "api.log", ready=http_ok(url))
        worker = processes.spawn("worker", [...], restart=True)
        worker.kill()          # it is started again
    # no process is left, and none that they started

A `Supervisor` has one subreaper process (see `subreaper_process`). After the end of the parent,
even by SIGKILL, it stops all processes in order and then ends. It reports all changes of state;
only readiness (an open port, an HTTP answer) is polled.
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

from orchestrator.embedded.machine import this_machine
from orchestrator.embedded.supervisor import subreaper_process
from orchestrator.embedded.supervisor.process import Process, ProcessFailed


class Supervisor:
    """Starts processes through its own subreaper process; stops all of them when it stops.

    `on_event` is called for every start, end and failure, in a thread of the supervisor:
    ``{"event": "started" | "exited" | "failed", "name": ..., "pid" | "code" | "error": ...}``.
    """

    def __init__(
        self,
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
        system: Path | None = None,
    ) -> None:
        """`system`: the file with what the subreaper asks of this system; None chooses it."""
        self.processes: dict[str, Process] = {}
        self.changed = threading.Condition(threading.RLock())
        self._on_event = on_event
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._subreaper = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    subreaper_process.__file__,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    str(system or this_machine().PROCESSES),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # Start the subreaper in a session of its own, so that Ctrl-C reaches only the
                # parent process. The parent stops the other processes in order.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name="supervisor", daemon=True)
        self._reader.start()

    @property
    def subreaper_pid(self) -> int:
        """The id of the subreaper process."""
        return self._subreaper.pid

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
        """Start a process; with `ready`, wait until it returns True.

        `env` replaces the environment. `log` receives stdout and stderr (default: our stderr).
        `lock` is a file that the process locks and writes its id into; the lock lasts while it or
        a child of it lives. `user` is the (user id, group id) that it runs as. With `restart` it
        is started again when it ends: at once the first time, later after growing pauses. `stop`
        is the signal that stops it, `grace` the seconds until SIGKILL follows, `death` the signal
        that it receives if the subreaper is killed. The highest `tier` is stopped first.

        Raises:
            ProcessFailed: it could not be started, or was not ready within `timeout` seconds;
                it does not run any more.
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
        """Send an order to the subreaper."""
        line = json.dumps({"do": do, **details}).encode() + b"\n"
        try:
            with self.changed:
                self._socket.sendall(line)
        except OSError as error:
            raise ProcessFailed("the supervisor has ended") from error

    def stop(self) -> None:
        """Stop all processes, the highest tier first; return when all have ended."""
        with contextlib.suppress(OSError):  # already stopped, or the subreaper has ended
            self._socket.shutdown(socket.SHUT_WR)
        self._subreaper.wait()
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
                self._on_line(json.loads(line))
        with self.changed:
            for process in self.processes.values():
                if not process.ended:
                    process.apply_event({"event": "exited", "code": process.code, "again_in": None})
            self.changed.notify_all()

    def _on_line(self, event: Mapping[str, Any]) -> None:
        with self.changed:
            self.processes[event["name"]].apply_event(event)
            self.changed.notify_all()
        if self._on_event:
            self._on_event(event)
