"""The due times of a schedule; pure.

A recurrence has `after` (the first due time after an instant) and `until` (the last one up to
an instant, itself included). All instants are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Protocol

#: No due time is looked for before this: the clocks of some zones have no earlier days.
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=2)


class Recurrence(Protocol):
    """Times that follow one another without end."""

    def after(self, time: datetime) -> datetime | None:
        """The first due time after `time`."""

    def until(self, time: datetime) -> datetime | None:
        """The last due time up to `time`, itself included."""


@dataclass(frozen=True, slots=True)
class Every:
    """Due each `interval` since `anchor`, for the first time one interval after it."""

    anchor: datetime
    interval: timedelta

    def after(self, time: datetime) -> datetime:
        """The first due time after `time`."""
        return self.anchor + max(1, (time - self.anchor) // self.interval + 1) * self.interval

    def until(self, time: datetime) -> datetime | None:
        """The last due time up to `time`; None before the first."""
        count = (time - self.anchor) // self.interval
        return self.anchor + count * self.interval if count > 0 else None


def following(recurrence: Recurrence, time: datetime) -> Iterator[datetime]:
    """Every due time after `time`, in order."""
    at = recurrence.after(time)
    while at is not None:
        yield at
        at = recurrence.after(at)


def preceding(recurrence: Recurrence, time: datetime) -> Iterator[datetime]:
    """Every due time up to `time`, the last one first."""
    at = recurrence.until(time)
    while at is not None:
        yield at
        at = recurrence.until(at - timedelta(microseconds=1))


def between(recurrence: Recurrence, first: datetime, last: datetime, limit: int) -> list[datetime]:
    """The due times from `first` to `last`, both included; at most `limit` of them."""
    times = following(recurrence, max(first, _EARLIEST) - timedelta(microseconds=1))
    return list(islice(takewhile(lambda at: at <= last, times), limit))
