"""The due times of a cron expression in a time zone; pure.

An expression describes wall-clock times; a due time is an instant. `cronsim` finds the matching
wall-clock times without time zones, and this module converts them to instants. Usually each has
one. A time that a clock change skips has none (or the end of the gap); a time that a clock change
repeats has two. Each of the two readings of a wall-clock time (`fold` in PEP 495) never runs
backward, so that the wall-clock time of an instant is enough to find the due times around it.

The default rule is that of Debian's cron. A job at a time of day (minute and hour are fixed) runs
once: at the end of the gap if its time is skipped, and the first time if its time is repeated. A
job with ``*`` as minute or hour, or with seconds, runs by elapsed time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from orchestrator.document import cron_expression
from orchestrator.document.cron_expression import ALIASES, CronSyntaxError, matches

_SECOND = timedelta(seconds=1)
_ZERO = timedelta()


class Missing(StrEnum):
    """What to do with a wall-clock time that the clock skips."""

    RUN = "run"  # at the end of the gap
    SKIP = "skip"


class Repeated(StrEnum):
    """What to do with a wall-clock time that the clock shows twice."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


class InvalidCron(ValueError):
    """The expression cannot be read, or never matches."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The due times of an expression of five fields, or of six with the seconds first."""

    expression: str
    zone: ZoneInfo
    missing: Missing
    repeated: Repeated

    @classmethod
    def of(
        cls,
        expression: str,
        zone: ZoneInfo,
        missing: Missing | None = None,
        repeated: Repeated | None = None,
    ) -> Self:
        """Return a checked expression, with Debian's rule for options that are None. Raises
        `InvalidCron`."""
        expression = ALIASES.get(expression.strip().lower(), expression)
        check(expression)
        at_a_time = _at_a_time_of_day(expression)
        return cls(
            expression,
            zone,
            missing or (Missing.RUN if at_a_time else Missing.SKIP),
            repeated or (Repeated.FIRST if at_a_time else Repeated.BOTH),
        )

    def after(self, time: datetime) -> datetime | None:
        """Return the first due time after `time`, in UTC; None: there is none within 50 years."""
        times = [self._after(time, fold) for fold in self._folds]
        return min((at for at in times if at), default=None)

    def until(self, time: datetime) -> datetime | None:
        """Return the last due time up to and including `time`; None: none within 50 years."""
        times = [self._until(time, fold) for fold in self._folds]
        return max((at for at in times if at), default=None)

    @property
    def _folds(self) -> tuple[int, ...]:
        return {Repeated.FIRST: (0,), Repeated.LAST: (1,), Repeated.BOTH: (0, 1)}[self.repeated]

    def _after(self, time: datetime, fold: int) -> datetime | None:
        walls = matches(self.expression, _last_passed(time, self.zone, fold))
        return next((at for at in self._instants(walls, fold) if at > time), None)

    def _until(self, time: datetime, fold: int) -> datetime | None:
        reached = _last_passed(time, self.zone, fold).replace(microsecond=0)
        walls = matches(self.expression, reached + _SECOND, reverse=True)  # the start is excluded
        return next((at for at in self._instants(walls, fold) if at <= time), None)

    def _instants(self, walls: Iterator[datetime], fold: int) -> Iterator[datetime]:
        for wall in walls:
            first, second = _offsets(wall, self.zone)
            if first >= second:
                yield _utc(wall, second if fold else first)
            elif self.missing is Missing.RUN:
                yield _offset_change(self.zone, _utc(wall, second), _utc(wall, first))


def check(expression: str) -> None:
    """Raise `InvalidCron` unless the expression can be read and matches some time."""
    try:
        cron_expression.check(expression)
    except CronSyntaxError as error:
        raise InvalidCron(f"{error} (in the cron expression '{expression[:100]}')") from None


def _at_a_time_of_day(expression: str) -> bool:
    fields = expression.split()
    return len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")


def _last_passed(time: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """Return the last wall-clock time that has passed by `time` in the reading `fold`."""
    local = time.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    first, second = _offsets(wall, zone)
    if first <= second or fold == local.fold:
        return wall
    # `time` is in an hour that the clock shows twice, and `fold` asks for the showing in which
    # `time` is not. Return the last second before the clock is set back, in the offset of `fold`.
    # Before that change no time of the second showing has passed; after it every time of the first
    # has.
    change = _offset_change(zone, _utc(wall, first), _utc(wall, second))
    return (change + (second if fold else first)).replace(tzinfo=None) - _SECOND


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """Return the UTC offsets of a wall-clock time's two readings. They are equal, except first >
    second if the clock shows the time twice, and first < second if the clock skips it."""
    first = wall.replace(tzinfo=zone, fold=0).utcoffset()
    second = wall.replace(tzinfo=zone, fold=1).utcoffset()
    return first or _ZERO, second or _ZERO  # a ZoneInfo always has them


def _utc(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _offset_change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the instant between the two, to the second, at which the zone's offset changes."""
    before, after = before.replace(microsecond=0), after.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
