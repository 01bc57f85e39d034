"""Calls functions in the worker's event loop at once, from any thread.

kombu's own `Hub.call_soon` wakes the loop from another thread only since 5.7; before, the loop
slept on for up to a second. Threads on Redis were 20 times slower, and the successor of a child
that had exited started late. A pipe of our own wakes the loop on every version.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class EventLoopCalls:
    """The calls that wait for the event loop of one worker."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._pipe: tuple[int, int] | None = None

    def listen(self, hub: Any) -> None:
        """Add the pipe to a loop that begins. Each (re)connect begins a new one."""
        hub.add_reader(self.open(), self.run)

    def open(self) -> int:
        """Return the descriptor that is readable while calls wait."""
        if self._pipe is None:
            reader, writer = self._pipe = os.pipe()
            os.set_blocking(reader, False)
            os.set_blocking(writer, False)
        return self._pipe[0]

    def call(self, consumer: Any, function: Callable[[], object]) -> None:
        """Let the event loop of this consumer call the function.

        Without an event loop (brokers for tests) the consumer calls it between two reads, which
        take up to 2 seconds."""
        if self._pipe is None:
            consumer.call_soon(function)
            return
        self._waiting.append(function)
        self.wake()

    def wake(self) -> None:
        """Let the event loop go on at once."""
        assert self._pipe is not None  # noqa: S101  `open` has made it
        with suppress(BlockingIOError):  # a full pipe wakes the loop too
            os.write(self._pipe[1], b"\0")

    def run(self) -> None:
        """Call the functions that wait; for the event loop, once the pipe is readable."""
        assert self._pipe is not None  # noqa: S101  `open` has made it
        with suppress(BlockingIOError):
            os.read(self._pipe[0], 4096)
        while self._waiting:
            self._waiting.popleft()()
