"""The longest time that a decision may take in a process of the pool.

The core's decisions are bounded by their own budgets (`state_manager.deliberation`). What takes
longer hangs in code that no budget reaches, such as a library that holds the interpreter's lock. No
handler in Python would run then, so the signal has its default action: it ends the process, and the
main process reports what was lost with it.
"""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Any

#: Longest time of one decision, in seconds.
LIMIT = 30.0


class DecisionAlarm:
    """A context that ends this process if it takes longer than `LIMIT` seconds.

    Only for the main thread of a process that runs one decision at a time. A timer and a handler
    that a task has left behind are put back.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._handler: Any = None
        self._before = (0.0, 0.0)

    def __enter__(self) -> None:
        self._handler = signal.getsignal(signal.SIGALRM)
        if self._handler is not signal.SIG_DFL:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._before = signal.setitimer(signal.ITIMER_REAL, self._limit)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, *self._before)
        if self._handler is not signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self._handler or signal.SIG_DFL)
