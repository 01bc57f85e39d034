"""Hints to the workers, sent beside the answers: a slow broker never slows a request.

A hint may be lost: the beats find what nobody brought.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import NamedTuple

from orchestrator.clock import monotonic
from orchestrator.task_dispatcher import TaskDispatcher

#: Hints that may stand in line; more are left to the beats.
MOST = 10_000
#: Hints that are sent in one go.
_BATCH = 100
#: Seconds between two messages to the broker, at least: what comes meanwhile goes together.
#: The first after a rest goes at once.
_SEND_INTERVAL = 0.005
#: The same while more than one came meanwhile: at 330 starts a second a message then names
#: three instead of two. Sending one is dear, and so is receiving it in a worker.
_BUSY_SEND_INTERVAL = 0.012


class _Hint(NamedTuple):
    """An instance whose inbox, or a namespace whose events, somebody should look into."""

    of_namespace: bool
    name: str


class Hints:
    """A line of hints and the thread that sends them, started with the first."""

    def __init__(self, dispatcher: TaskDispatcher) -> None:
        self._dispatcher = dispatcher
        self._queue: queue.Queue[_Hint | None] = queue.Queue(MOST)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def send(self, *instances: str) -> None:
        """Have some worker look into the inboxes of these instances soon."""
        self._put([_Hint(False, id) for id in instances])

    def match(self, namespace: str) -> None:
        """Have some worker match the events of a namespace soon."""
        self._put([_Hint(True, namespace)])

    def _put(self, hints: list[_Hint]) -> None:
        if self._thread is None:
            self._start()
        try:
            for hint in hints:
                self._queue.put_nowait(hint)
        except queue.Full:
            pass  # the broker is slow or away: the beats make up for it

    def close(self, timeout: float = 2.0) -> None:
        """Send what is in line, for a bounded time."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        sent, pace = 0.0, _SEND_INTERVAL
        while (first := self._queue.get()) is not None:
            time.sleep(max(0.0, sent + pace - monotonic()))
            sent = monotonic()
            batch = [first]
            while len(batch) < _BATCH and not self._queue.empty():
                found = self._queue.get()
                if found is None:
                    self._send(batch)
                    return
                batch.append(found)
            self._send(batch)
            pace = _BUSY_SEND_INTERVAL if len(batch) > 1 else _SEND_INTERVAL

    def _send(self, batch: list[_Hint]) -> None:
        """One message each, however often it was asked for."""
        asked = list(dict.fromkeys(batch))
        self._dispatcher.match(*(hint.name for hint in asked if hint.of_namespace))
        self._dispatcher.hint(*(hint.name for hint in asked if not hint.of_namespace))
