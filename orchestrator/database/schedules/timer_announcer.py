"""Notifies the beats of timers that they would otherwise notice too late, as rarely as possible: a
NOTIFY takes a lock that all commits share."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from orchestrator import clock
from orchestrator.database.connection.session import Session
from orchestrator.database.schedules import timer_queries

#: Shortest time between two notifications of one process, in seconds. A notified beat checks at
#: once, and again after `RECHECK_DELAY`, when every transaction of this time has committed.
MIN_INTERVAL = 0.01
RECHECK_DELAY = 0.015
#: How far this process's estimate of the database's clock may lag behind it.
CLOCK_LAG = timedelta(milliseconds=100)


class TimerAnnouncer:
    """Limits how often this process notifies the beats of timers.

    Threads may share it without a lock: a race sends one notification too many, never one too few.
    """

    def __init__(self, session: Session, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._session = session
        self._monotonic = monotonic
        self._notified_at = -math.inf
        self._wake: datetime | None = None

    def timer_armed(self, due: datetime, now: datetime) -> None:
        """Notify the beats if needed. A timer was committed that is due at `due`; it is `now` by
        the database's clock.

        A notified beat wakes at that time even if the timer is removed by then, and reads the next
        due time itself. Raises `DatabaseUnavailable`.
        """
        if self._wake is not None and now + CLOCK_LAG < self._wake <= due:
            return
        self._wake = due
        moment = self._monotonic()
        if moment - self._notified_at < MIN_INTERVAL:
            return
        # Count `MIN_INTERVAL` from before the notification is sent. The beats may receive the
        # notification at once and count `RECHECK_DELAY` from then: an interval that ends later
        # could contain timers that their second check misses.
        before, self._notified_at = self._notified_at, moment
        try:
            timer_queries.announce(self._session, max(0.0, (due - now).total_seconds()))
        except Exception:
            self._notified_at, self._wake = before, None
            raise
