"""One process under a `Supervisor`: what is known of it, and what it can be told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Condition
from typing import Any, Protocol

from orchestrator import clock
from orchestrator.errors import OrchestratorError

#: Between two looks at a fact of the outside world, which can't tell us itself.
LOOK_AGAIN = 0.02
#: How much of a log explains a failure.
TAIL = 4000


class ProcessFailed(OrchestratorError):
    """A process could not be started, ended too early or did not get ready in time."""


class OrderChannel(Protocol):
    """What a process needs of its supervisor."""

    #: Notified at each change of a process.
    changed: Condition

    def order(self, do: str, **details: Any) -> None:
        """Send an order to the helper process."""


class Process:
    """One process that a `Supervisor` started, over all its starts."""

    def __init__(self, supervisor: OrderChannel, name: str, log: Path | None) -> None:
        self.name = name
        self.log = log
        #: How often it was started.
        self.starts = 0
        #: The exit status of its latest end (negative: the signal), None before the first.
        self.code: int | None = None
        #: Why it could not be started.
        self.error: str | None = None
        self._supervisor = supervisor
        self._changed = supervisor.changed
        self._pid: int | None = None
        #: Whether it has ended, and will not be started again.
        self.ended = False
        self._spawned = self._started = self._log_size()
        #: Where in the log the latest start that has ended begins and ends.
        self._ended = self._started, self._started

    @property
    def pid(self) -> int:
        """The id of the running process.

        Raises:
            ProcessFailed: it does not run at the moment.
        """
        if self._pid is None:
            raise ProcessFailed(f"{self.name} is not running")
        return self._pid

    @property
    def running(self) -> bool:
        """Whether it runs at the moment."""
        return self._pid is not None

    def signal(self, number: int) -> None:
        """Send it a signal; it is never sent to another process that got the same id."""
        self._supervisor.order("signal", name=self.name, signal=int(number))

    def kill(self) -> None:
        """SIGKILL, and wait for the end; with `restart` it is started again."""
        with self._changed:
            starts = self.starts
            self.signal(signal.SIGKILL)
            self._changed.wait_for(lambda: self._pid is None or self.starts > starts)

    def stop(self, grace: float = 10.0) -> int | None:
        """Ask it to end, insist after `grace` seconds; its exit status. No restart follows."""
        self._supervisor.order("stop", name=self.name, grace=grace)
        return self.wait()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended for good; its exit status.

        Raises:
            TimeoutError: it still runs after `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, timeout):
                raise TimeoutError(f"{self.name} still runs after {timeout} s")
        return self.code

    def wait_for_start(self, number: int, timeout: float | None = None) -> int:
        """Wait until it was started `number` times; the process id.

        Raises:
            TimeoutError: it was not.
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
        """Wait until `ready` says yes; an end of the process cuts the waiting short.

        Raises:
            ProcessFailed: it ended, or the time did; the message holds the log's end.
        """
        deadline = clock.monotonic() + timeout
        while not self.ended and not (self.running and ready(self)):
            if clock.monotonic() > deadline:
                raise self._failure(f"was not ready after {timeout:g} s")
            with self._changed:
                self._changed.wait_for(lambda: self.ended, LOOK_AGAIN)
        if self.ended:
            raise self._failure("ended")

    def log_since_start(self) -> str:
        """What it has written to its log since its latest start; empty without a log."""
        return self._log_from(self._started)

    def log_until_end(self) -> str:
        """What it wrote to its log from its latest start that has ended until that end."""
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

    def _failure(self, what: str) -> ProcessFailed:
        status = f" with status {self.code}" if self.ended and self.code is not None else ""
        tail = self.error or self._log_from(self._spawned)[-TAIL:].strip()
        return ProcessFailed(f"{self.name} {what}{status}" + (f": {tail}" if tail else ""))

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in what the keeper tells; called under the supervisor's lock."""
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
