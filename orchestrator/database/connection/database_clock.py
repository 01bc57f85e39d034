"""The time by the database's clock, without asking it each time.

Every answer that carries the database's time sets the offset to this process's monotonic
clock, so that a stepped or wrong clock of one machine moves no timer (invariant I9).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator import clock


class DatabaseClock:
    """Keeps the database's clock running in this process; safe to share between threads."""

    def __init__(self) -> None:
        self._seen = clock.now()
        self._at = clock.monotonic()

    def observe(self, now: datetime) -> None:
        """The database said that it is `now`."""
        self._at, self._seen = clock.monotonic(), now

    def now(self) -> datetime:
        """The database's time, as of its last answer and the time since; never ahead of it."""
        return self._seen + timedelta(seconds=clock.monotonic() - self._at)
