"""The database's time without a query.

Every answer that carries the database's time sets the offset to this process's monotonic clock: a
stepped or wrong clock of one machine moves no timer (invariant I9).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator import clock


class DatabaseClock:
    """Keeps the database's clock running in this process; safe to share between threads."""

    def __init__(self) -> None:
        self._observed = clock.now()
        self._observed_at = clock.monotonic()

    def observe(self, now: datetime) -> None:
        """Record the database's time, as an answer has just given it."""
        self._observed_at, self._observed = clock.monotonic(), now

    def now(self) -> datetime:
        """Return the database's time: the last one observed plus the time since. It is never ahead
        of the database."""
        return self._observed + timedelta(seconds=clock.monotonic() - self._observed_at)
