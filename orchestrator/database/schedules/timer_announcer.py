"""Tells the beats of timers that they would not see in time, as seldom as will do: a NOTIFY
takes a lock that all commits share."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from orchestrator import clock
from orchestrator.database.connection.session import Session
from orchestrator.database.schedules import timer_queries

#: One process tells the beats at most once in this time, in s. They look when they are told,
#: and once more after `AGAIN`, when everything of this time is committed.
MIN_INTERVAL = 0.01
RECHECK_DELAY = 0.015
#: How far this process's idea of the database's clock may lag behind it.
CLOCK_LAG = timedelta(milliseconds=100)


class TimerAnnouncer:
    """What one process has told the beats. Threads may share it: what two of them tell at
    once is told once too often, or not too seldom."""

    def __init__(self, session: Session, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._session = session
        self._monotonic = monotonic
        self._notified_at = -math.inf
        self._wake: datetime | None = None

    def timer_armed(self, due: datetime, now: datetime) -> None:
        """A timer was committed, due then; it is `now` by the database's clock.

        Beats wake when they were told that something is due, though it may be gone by then,
        and see for themselves what is due afterwards. Raises `DatabaseUnavailable`.
        """
        if self._wake is not None and now + CLOCK_LAG < self._wake <= due:
            return
        self._wake = due
        moment = self._monotonic()
        if moment - self._notified_at < MIN_INTERVAL:
            return
        # The time before the telling: the beats may hear of it before we know.
        before, self._notified_at = self._notified_at, moment
        try:
            timer_queries.announce(self._session, max(0.0, (due - now).total_seconds()))
        except Exception:
            self._notified_at, self._wake = before, None
            raise
