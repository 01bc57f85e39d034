"""One process under a `Supervisor`: its state, and the orders for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Condition
from typing import Any, Protocol

from orchestrator import clock
from orchestrator.errors import OrchestratorError

#: Time between two readiness checks, in seconds.
POLL_INTERVAL = 0.02
#: Number of characters from the end of a log that a failure's message contains.
TAIL = 4000


class ProcessFailed(OrchestratorError):
    """A process could not be started, ended too early or did not get ready in time."""


class OrderChannel(Protocol):
    """The part of a supervisor that a process uses."""

    #: Notified at each change of a process.
    changed: Condition

    def order(self, do: str, **details: Any) -> None:
        """Send an order to the subreaper process."""


class Process:
    """A process that a `Supervisor` starts, and starts again if asked."""

    def __init__(self, supervisor: OrderChannel, name: str, log: Path | None) -> None:
        self.name = name
        self.log = log
        #: Number of starts.
        self.starts = 0
        #: The exit status of its latest end (negative: the signal); None before the first end.
        self.code: int | None = None
        #: The reason why it could not be started.
        self.error: str | None = None
        self._supervisor = supervisor
        self._changed = supervisor.changed
        self._pid: int | None = None
        #: Whether it has ended and is not started again.
        self.ended = False
        self._spawned = self._started = self._log_size()
        #: Begin and end of the log of the latest start that has ended, as offsets.
        self._ended = self._started, self._started

    @property
    def pid(self) -> int:
        """The id of the running process.

        Raises:
            ProcessFailed: it is not running.
        """
        if self._pid is None:
            raise ProcessFailed(f"{self.name} is not running")
        return self._pid

    @property
    def running(self) -> bool:
        """Whether it is running."""
        return self._pid is not None

    def signal(self, number: int) -> None:
        """Send it a signal; it is never sent to another process that got the same id."""
        self._supervisor.order("signal", name=self.name, signal=int(number))

    def kill(self) -> None:
        """End it by SIGKILL and wait for the end; with `restart` it is started again."""
        with self._changed:
            starts = self.starts
            self.signal(signal.SIGKILL)
            self._changed.wait_for(lambda: self._pid is None or self.starts > starts)

    def stop(self, grace: float = 10.0) -> int | None:
        """Send the stop signal, SIGKILL after `grace` seconds; return the exit status. No
        restart."""
        self._supervisor.order("stop", name=self.name, grace=grace)
        return self.wait()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended for good; return its exit status.

        Raises:
            TimeoutError: it still runs after `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, timeout):
                raise TimeoutError(f"{self.name} still runs after {timeout} s")
        return self.code

    def wait_for_start(self, number: int, timeout: float | None = None) -> int:
        """Wait until it was started `number` times; return the process id.

        Raises:
            TimeoutError: it was started less often within `timeout` seconds.
            ProcessFailed: it has ended for good.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (self.starts >= number and self._pid) or self.ended, timeout
            )
            if self.ended:
                raise self._failure("ended")
            if self.starts < number:
                raise TimeoutError(f"{self.name} was started {self.starts} times, not {number}")
            return self.pid

    def wait_until(self, ready: Callable[[Process], bool], timeout: float = 30.0) -> None:
        """Wait until `ready` returns True.

        Raises:
            ProcessFailed: it ended or was not ready in time; the message contains the log's end.
        """
        deadline = clock.monotonic() + timeout
        while not self.ended and not (self.running and ready(self)):
            if clock.monotonic() > deadline:
                raise self._failure(f"was not ready after {timeout:g} s")
            with self._changed:
                self._changed.wait_for(lambda: self.ended, POLL_INTERVAL)
        if self.ended:
            raise self._failure("ended")

    def log_since_start(self) -> str:
        """Return the log since its latest start; empty without a log."""
        return self._log_from(self._started)

    def log_until_end(self) -> str:
        """Return the log of its latest start that has ended, until that end."""
        begin, end = self._ended
        return self._log_from(begin, end)

    def _log_from(self, offset: int, end: int | None = None) -> str:
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read(-1 if end is None else end - offset).decode(errors="replace")

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log and self.log.exists() else 0

    def _failure(self, reason: str) -> ProcessFailed:
        status = f" with status {self.code}" if self.ended and self.code is not None else ""
        tail = self.error or self._log_from(self._spawned)[-TAIL:].strip()
        return ProcessFailed(f"{self.name} {reason}{status}" + (f": {tail}" if tail else ""))

    def apply_event(self, event: Mapping[str, Any]) -> None:
        """Apply an event of the subreaper; called under the supervisor's lock."""
        match event["event"]:
            case "started":
                self._pid, self.starts = event["pid"], self.starts + 1
            case "failed":
                self.ended, self.error = True, event["error"]
            case "exited":
                self._pid, self.code = None, event["code"]
                self.ended = event["again_in"] is None
                self._ended = self._started, self._log_size()
                self._started = self._ended[1]
