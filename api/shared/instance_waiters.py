"""Waiting requests: one query at a time polls the instances of all of them.

One thread per process polls, only while a request waits, and more often the younger the latest
wait is. So a wait needs no connection of its own and transitions need no NOTIFY. While it waits,
a request frees its thread slot (see `api.server.request_threads`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from api.shared.request_places import RequestPlaces
from orchestrator import clock
from orchestrator.database.connection.database import Database
from orchestrator.database.instances import instance_queries
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger

#: Seconds between two polls: at least, at most, and as a share of the latest wait's age.
SHORTEST, LONGEST, PART = 0.01, 0.25, 0.1

log = get_logger(__name__)


@dataclass(eq=False)
class _Wait:
    instance: str
    is_over: Callable[[instance_queries.Progress], bool]
    since: float
    event: threading.Event = field(default_factory=threading.Event)


#: The most waiting requests and the most open streams of one process: each has a thread and a
#: client connection of its own. One owner of keys may have one in `SHARE` of them.
WAITS, STREAMS, SHARE = 512, 64, 4
#: A waiting request and a stream check so often, in seconds, that their key is still valid.
CHECK_INTERVAL = 2.0

LendThread = Callable[[], AbstractContextManager[None]]


class Waiters:
    """The waiting requests of a process: at most `waits` for an end, and `streams` open streams.
    `shares`: whether one owner may only have a share of them.

    `lend` is a context in which a request's thread slot is free for others; a server with a
    bounded number of threads sets it.
    """

    def __init__(
        self,
        database: Database,
        waits: int = WAITS,
        streams: int = STREAMS,
        *,
        shares: bool = False,
    ) -> None:
        self.lend: LendThread = nullcontext
        self._database = database
        share = SHARE if shares else 1
        self._slots = RequestPlaces(waits, max(1, waits // share))
        self._streams = RequestPlaces(streams, max(1, streams // share))
        self._waits: set[_Wait] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wait_until_final(
        self, instance: str, seconds: float, owner: str, may_wait: Callable[[], bool]
    ) -> None:
        """Wait until an instance is final, `seconds` have passed, or `may_wait` is False."""
        # If too many requests wait already, return at once. The answer is then the instance's
        # current state, and the client may request it again.
        if self._slots.take(owner):
            try:
                with self.lend():
                    self._wait(instance, seconds, lambda progress: progress.is_final, may_wait)
            finally:
                self._slots.free(owner)

    def open_stream(self, owner: str) -> bool:
        """Count a new stream; return False if too many are open. Each has a thread of its own."""
        return self._streams.take(owner)

    def close_stream(self, owner: str) -> None:
        """Free the place of a stream that has ended."""
        self._streams.free(owner)

    def wait_for_transition(
        self, instance: str, sequence: int, seconds: float, may_wait: Callable[[], bool]
    ) -> None:
        """Wait for a transition after `sequence`, the final state, the end of `seconds`, or until
        `may_wait` is False.

        Only for streams: they are counted, and free their thread slot, when they are opened.
        """

        def is_over(progress: instance_queries.Progress) -> bool:
            return progress.is_final or progress.sequence > sequence

        self._wait(instance, seconds, is_over, may_wait)

    def close(self) -> None:
        """End all waits, and each later one at once: the process stops."""
        with self._changed:
            self._closed = True
            for wait in self._waits:
                wait.event.set()
            self._changed.notify()

    def release(self) -> None:
        """Do the same without a lock, for a signal handler, which must take none."""
        self._closed = True
        for wait in tuple(self._waits):
            wait.event.set()

    @property
    def closed(self) -> bool:
        """Whether the process is about to stop."""
        return self._closed

    def _wait(
        self,
        instance: str,
        seconds: float,
        is_over: Callable[[instance_queries.Progress], bool],
        may_wait: Callable[[], bool],
    ) -> None:
        if seconds <= 0 or self._closed:
            return
        wait = _Wait(instance, is_over, clock.monotonic())
        try:
            with self._changed:
                self._waits.add(wait)
                self._start()
                self._changed.notify()
            until = clock.monotonic() + seconds
            while (left := until - clock.monotonic()) > 0:
                if wait.event.wait(min(left, CHECK_INTERVAL)) or not may_wait():
                    break
        finally:
            with self._changed:
                self._waits.discard(wait)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="waiters", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        polled_at, pause = 0.0, 0.0
        while True:
            with self._changed:
                if self._waits:
                    # A new waiting request ends the pause early, so that its instance is read soon.
                    # The inner loop keeps two polls at least `SHORTEST` seconds apart.
                    self._changed.wait(pause)
                    while (early := polled_at + SHORTEST - clock.monotonic()) > 0:
                        self._changed.wait(early)
                while not self._waits:
                    if self._closed:
                        return
                    self._changed.wait()
                waits = list(self._waits)
            self._poll(waits)
            polled_at = clock.monotonic()
            age = polled_at - max(wait.since for wait in waits)
            pause = min(LONGEST, max(SHORTEST, age * PART))

    def _poll(self, waits: list[_Wait]) -> None:
        try:
            progresses = instance_queries.progress(
                self._database, {wait.instance for wait in waits}
            )
        except DatabaseUnavailable:
            return  # each request reports the outage itself when its time is over
        except Exception:
            log.exception("Cannot poll awaited instances; trying again", action="wait_failed")
            return
        for wait in waits:
            progress = progresses.get(wait.instance)
            if progress is None or wait.is_over(progress):
                wait.event.set()
