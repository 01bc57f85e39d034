"""The beat's sleep: ends at the next due time, or when a process announces an earlier timer."""

from __future__ import annotations

import heapq

from orchestrator import clock
from orchestrator.database.connection.notification_listener import NotificationListener
from orchestrator.database.schedules.timer_announcer import RECHECK_DELAY
from orchestrator.database.schedules.timer_queries import CHANNEL

#: Announcements within this time, in seconds, wake the beat only once.
COALESCE_TIME = 0.005


class InterruptibleSleep:
    """Receives announcements of timers while it sleeps. `url` leads directly to Postgres:
    connection poolers do not forward LISTEN."""

    def __init__(self, url: str) -> None:
        self._listener = NotificationListener(url, CHANNEL, COALESCE_TIME)
        #: A heap of the times, on the monotonic clock, at which to wake for announced timers.
        self._scheduled_checks: list[float] = []

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`. Return earlier when a timer is announced, shortly after that, and
        when the announced timer is due (see `database.schedules.timer_announcer`).

        Return True if a timer may be due that the beat does not know: one was announced, or the
        connection was lost, so that an announcement may be missing.
        """
        now, listened = clock.monotonic(), self._listener.listening
        if self._scheduled_checks:
            seconds = min(seconds, self._scheduled_checks[0] - now)
        announced = self._listener.wait(seconds)
        has_due = self._pop_due_checks()
        self._schedule_checks(announced)
        return bool(announced) or has_due or not (listened and self._listener.listening)

    def _pop_due_checks(self) -> bool:
        """Remove the wake-up times that have come. Return whether there was one."""
        now, count = clock.monotonic(), len(self._scheduled_checks)
        while self._scheduled_checks and self._scheduled_checks[0] <= now:
            heapq.heappop(self._scheduled_checks)
        return len(self._scheduled_checks) < count

    def _schedule_checks(self, announced: list[str]) -> None:
        now = clock.monotonic()
        dues = [now + float(seconds) for seconds in announced if seconds]
        for moment in [now + RECHECK_DELAY, *dues] if announced else ():
            heapq.heappush(self._scheduled_checks, moment)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
