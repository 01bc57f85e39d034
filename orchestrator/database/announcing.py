"""Tells the beats of timers that they would not see in time, as seldom as will do: a NOTIFY
takes a lock that all commits share."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from orchestrator import clock
from orchestrator.database import timers
from orchestrator.database.slices import Reader

#: One process tells the beats at most once in this time, in s. They look when they are told,
#: and once more after `AGAIN`, when everything of this time is committed.
SELDOM = 0.01
AGAIN = 0.015
#: How far this process's idea of the database's clock may lag behind it.
LAG = timedelta(milliseconds=100)


class Announcer:
    """What one process has told the beats. Threads may share it: what two of them tell at
    once is told once too often, or not too seldom."""

    def __init__(self, reader: Reader, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._reader = reader
        self._monotonic = monotonic
        self._told = -math.inf
        self._wake: datetime | None = None

    def armed(self, due: datetime, now: datetime) -> None:
        """A timer was committed, due then; it is `now` by the database's clock.

        Beats wake when they were told that something is due, though it may be gone by then,
        and see for themselves what is due afterwards. Raises `DatabaseUnavailable`.
        """
        if self._wake is not None and now + LAG < self._wake <= due:
            return
        self._wake = due
        moment = self._monotonic()
        if moment - self._told < SELDOM:
            return
        # The time before the telling: the beats may hear of it before we know.
        before, self._told = self._told, moment
        try:
            timers.announce(self._reader, max(0.0, (due - now).total_seconds()))
        except Exception:
            self._told, self._wake = before, None
            raise
