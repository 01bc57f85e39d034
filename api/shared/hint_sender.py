"""Sends hints to the workers in a thread of its own, so that a slow broker slows no request.

A hint may be lost: the beats find the instances that still have pending stimuli.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import NamedTuple

from orchestrator.clock import monotonic
from orchestrator.task_dispatcher import TaskDispatcher

#: The most queued hints; further ones are dropped and left to the beats.
QUEUE_SIZE = 10_000
#: The most hints sent at once.
_BATCH = 100
#: Least seconds between two sendings: hints that come meanwhile share a message. The first hint
#: after a pause is sent at once.
_SEND_INTERVAL = 0.005
#: The interval while more than one hint arrives per interval: at 330 starts per second a message
#: then names three instances instead of two. Sending and receiving a message is expensive.
_BUSY_SEND_INTERVAL = 0.012


class _Hint(NamedTuple):
    """An instance whose inbox, or a namespace whose events, a control worker should process."""

    of_namespace: bool
    name: str


class Hints:
    """A queue of hints and the thread that sends them, started with the first hint."""

    def __init__(self, dispatcher: TaskDispatcher) -> None:
        self._dispatcher = dispatcher
        self._queue: queue.Queue[_Hint | None] = queue.Queue(QUEUE_SIZE)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def send(self, *instances: str) -> None:
        """Hint that the inboxes of these instances have stimuli."""
        self._put([_Hint(False, id) for id in instances])

    def match(self, namespace: str) -> None:
        """Hint that a namespace has events to match."""
        self._put([_Hint(True, namespace)])

    def _put(self, hints: list[_Hint]) -> None:
        if self._thread is None:
            self._start()
        try:
            for hint in hints:
                self._queue.put_nowait(hint)
        except queue.Full:
            pass  # the broker is slow or cannot be reached: the beats find the rest

    def close(self, timeout: float = 2.0) -> None:
        """Send the queued hints, for at most `timeout` seconds."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        sent_at, interval = 0.0, _SEND_INTERVAL
        while (first := self._queue.get()) is not None:
            time.sleep(max(0.0, sent_at + interval - monotonic()))
            sent_at = monotonic()
            batch = [first]
            while len(batch) < _BATCH and not self._queue.empty():
                hint = self._queue.get()
                if hint is None:
                    self._send(batch)
                    return
                batch.append(hint)
            self._send(batch)
            interval = _BUSY_SEND_INTERVAL if len(batch) > 1 else _SEND_INTERVAL

    def _send(self, batch: list[_Hint]) -> None:
        """Send the hints without repetitions, in one message of each kind."""
        hints = list(dict.fromkeys(batch))
        self._dispatcher.match(*(hint.name for hint in hints if hint.of_namespace))
        self._dispatcher.hint(*(hint.name for hint in hints if not hint.of_namespace))
