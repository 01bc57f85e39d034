"""The due times of a schedule; pure.

A recurrence has `after` (the first due time after an instant) and `until` (the last one up to and
including an instant). All instants are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Protocol

#: No due time is computed before this: in some time zones earlier times overflow.
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=2)


class Recurrence(Protocol):
    """An endless sequence of due times."""

    def after(self, time: datetime) -> datetime | None:
        """Return the first due time after `time`."""

    def until(self, time: datetime) -> datetime | None:
        """Return the last due time up to and including `time`."""


@dataclass(frozen=True, slots=True)
class Every:
    """Due at each `interval` after `anchor`, first one interval after it."""

    anchor: datetime
    interval: timedelta

    def after(self, time: datetime) -> datetime:
        """Return the first due time after `time`."""
        return self.anchor + max(1, (time - self.anchor) // self.interval + 1) * self.interval

    def until(self, time: datetime) -> datetime | None:
        """Return the last due time up to and including `time`; None before the first."""
        count = (time - self.anchor) // self.interval
        return self.anchor + count * self.interval if count > 0 else None


def following(recurrence: Recurrence, time: datetime) -> Iterator[datetime]:
    """Yield every due time after `time`, in order."""
    at = recurrence.after(time)
    while at is not None:
        yield at
        at = recurrence.after(at)


def preceding(recurrence: Recurrence, time: datetime) -> Iterator[datetime]:
    """Yield every due time up to and including `time`, the last one first."""
    at = recurrence.until(time)
    while at is not None:
        yield at
        at = recurrence.until(at - timedelta(microseconds=1))


def between(recurrence: Recurrence, first: datetime, last: datetime, limit: int) -> list[datetime]:
    """Return at most `limit` due times from `first` to `last`, both included."""
    times = following(recurrence, max(first, _EARLIEST) - timedelta(microseconds=1))
    return list(islice(takewhile(lambda at: at <= last, times), limit))
