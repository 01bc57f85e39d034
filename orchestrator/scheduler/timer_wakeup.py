"""Sleeps until something is due, or until a transition says that it armed an earlier timer."""

from __future__ import annotations

import heapq

from orchestrator import clock
from orchestrator.database.connection.notification_listener import NotificationListener
from orchestrator.database.schedules.timer_announcer import RECHECK_DELAY
from orchestrator.database.schedules.timer_queries import CHANNEL

#: Announcements that come within this time of one another wake once, in s.
COALESCE_TIME = 0.005


class TimerWakeup:
    """Listens for timers; `url` leads to Postgres itself, past any pool."""

    def __init__(self, url: str) -> None:
        self._listener = NotificationListener(url, CHANNEL, COALESCE_TIME)
        #: A heap of the moments, by our monotonic clock, at which a look was promised.
        self._scheduled_checks: list[float] = []

    def wait(self, seconds: float) -> bool:
        """Return after `seconds`, or earlier: when a timer is announced, soon after that, and
        when it was said to be due (see `database.announcing`).

        Whether something may be due that was not known before: it was announced, or could not
        be heard.
        """
        now, listened = clock.monotonic(), self._listener.listening
        if self._scheduled_checks:
            seconds = min(seconds, self._scheduled_checks[0] - now)
        announced = self._listener.wait(seconds)
        kept = self._pop_due_checks()
        self._promise(announced)
        return bool(announced) or kept or not (listened and self._listener.listening)

    def _pop_due_checks(self) -> bool:
        """Take the looks that were promised for now; whether there was one."""
        now, many = clock.monotonic(), len(self._scheduled_checks)
        while self._scheduled_checks and self._scheduled_checks[0] <= now:
            heapq.heappop(self._scheduled_checks)
        return len(self._scheduled_checks) < many

    def _promise(self, told: list[str]) -> None:
        now = clock.monotonic()
        dues = [now + float(seconds) for seconds in told if seconds]
        for moment in [now + RECHECK_DELAY, *dues] if told else ():
            heapq.heappush(self._scheduled_checks, moment)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
