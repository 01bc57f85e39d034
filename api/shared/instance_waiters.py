"""Waiting for instances: any number of requests, one query at a time for all of them.

One thread a process looks, only while somebody waits, and the more often the younger the
wait is. So a wait costs neither a connection nor a NOTIFY in the transitions; and it lends its
thread's place to another request (see `api.server.request_threads`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from orchestrator import clock
from orchestrator.database.connection.database import Database
from orchestrator.database.instances import instance_queries
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger

#: Seconds between two looks, at least and at most, and as a part of the youngest wait's age.
SHORTEST, LONGEST, PART = 0.01, 0.25, 0.1

log = get_logger(__name__)


@dataclass(eq=False)
class _Wait:
    instance: str
    over: Callable[[instance_queries.Progress], bool]
    since: float
    event: threading.Event = field(default_factory=threading.Event)


#: Requests of one process that may wait for an end, and streams that may be open, at a time:
#: each has a thread and a connection of its own.
WAITS, STREAMS = 512, 64

LendThread = Callable[[], AbstractContextManager[None]]


class Waiters:
    """Those who wait: at most `waits` for an end and `streams` for whatever happens.

    `lend` is a block within which a request's thread is not counted; a server with a bounded
    number of threads sets it.
    """

    def __init__(self, database: Database, waits: int = WAITS, streams: int = STREAMS) -> None:
        self.lend: LendThread = nullcontext
        self._database = database
        self._slots = threading.BoundedSemaphore(waits)
        self._streams = threading.BoundedSemaphore(streams)
        self._waits: set[_Wait] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wait_until_final(self, instance: str, seconds: float) -> None:
        """Wait until an instance has ended and its compensation settled, or time is over."""
        # Without a free slot the answer is the present state: the client may ask again.
        if self._slots.acquire(blocking=False):
            try:
                with self.lend():
                    self._wait(instance, seconds, lambda found: found.is_final)
            finally:
                self._slots.release()

    def open_stream(self) -> bool:
        """Begin a stream, unless too many are open: each has a thread of its own."""
        return self._streams.acquire(blocking=False)

    def close_stream(self) -> None:
        """End a stream."""
        self._streams.release()

    def wait_for_transition(self, instance: str, sequence: int, seconds: float) -> None:
        """Wait until an instance has gone beyond the transition `sequence`, has settled, or time
        is over.

        For streams, which were counted, and lent their place, when they were opened.
        """
        self._wait(instance, seconds, lambda found: found.is_final or found.sequence > sequence)

    def close(self) -> None:
        """Let everybody go who waits, now and later: the process stops."""
        with self._changed:
            self._closed = True
            for wait in self._waits:
                wait.event.set()
            self._changed.notify()

    def release(self) -> None:
        """The same, callable from a signal's handler, which must take no lock."""
        self._closed = True
        for wait in tuple(self._waits):
            wait.event.set()

    @property
    def closed(self) -> bool:
        """Whether the process is about to stop."""
        return self._closed

    def _wait(
        self, instance: str, seconds: float, over: Callable[[instance_queries.Progress], bool]
    ) -> None:
        if seconds <= 0 or self._closed:
            return
        wait = _Wait(instance, over, clock.monotonic())
        try:
            with self._changed:
                self._waits.add(wait)
                self._start()
                self._changed.notify()
            wait.event.wait(seconds)
        finally:
            with self._changed:
                self._waits.discard(wait)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="waiters", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        looked, pause = 0.0, 0.0
        while True:
            with self._changed:
                if self._waits:
                    # A new wait ends the pause, but never so that looks follow in a rush.
                    self._changed.wait(pause)
                    while (early := looked + SHORTEST - clock.monotonic()) > 0:
                        self._changed.wait(early)
                while not self._waits:
                    if self._closed:
                        return
                    self._changed.wait()
                waits = list(self._waits)
            self._poll(waits)
            looked = clock.monotonic()
            age = looked - max(wait.since for wait in waits)
            pause = min(LONGEST, max(SHORTEST, age * PART))

    def _poll(self, waits: list[_Wait]) -> None:
        try:
            found = instance_queries.progress(self._database, {wait.instance for wait in waits})
        except DatabaseUnavailable:
            return  # the request itself will say so when its time is over
        except Exception:
            log.exception("Looking for instances that ended failed", action="wait_failed")
            return
        for wait in waits:
            progress = found.get(wait.instance)
            if progress is None or wait.over(progress):
                wait.event.set()
