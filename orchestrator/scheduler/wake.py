"""Sleeps until something is due, or until a transition says that it armed an earlier timer."""

from __future__ import annotations

import heapq

from orchestrator import clock
from orchestrator.database.announcing import AGAIN
from orchestrator.database.listening import Listener
from orchestrator.database.timers import CHANNEL

#: Announcements that come within this time of one another wake once, in s.
GATHER = 0.005


class Wake:
    """Listens for timers; `url` leads to Postgres itself, past any pool."""

    def __init__(self, url: str) -> None:
        self._listener = Listener(url, CHANNEL, GATHER)
        #: A heap of the moments, by our monotonic clock, at which a look was promised.
        self._promised: list[float] = []

    def wait(self, seconds: float) -> bool:
        """Return after `seconds`, or earlier: when a timer is announced, soon after that, and
        when it was said to be due (see `database.announcing`).

        Whether something may be due that was not known before: it was announced, or could not
        be heard.
        """
        now, listened = clock.monotonic(), self._listener.listening
        if self._promised:
            seconds = min(seconds, self._promised[0] - now)
        announced = self._listener.wait(seconds)
        kept = self._take_promises()
        self._promise(announced)
        return bool(announced) or kept or not (listened and self._listener.listening)

    def _take_promises(self) -> bool:
        """Take the looks that were promised for now; whether there was one."""
        now, many = clock.monotonic(), len(self._promised)
        while self._promised and self._promised[0] <= now:
            heapq.heappop(self._promised)
        return len(self._promised) < many

    def _promise(self, told: list[str]) -> None:
        now = clock.monotonic()
        dues = [now + float(seconds) for seconds in told if seconds]
        for moment in [now + AGAIN, *dues] if told else ():
            heapq.heappush(self._promised, moment)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
