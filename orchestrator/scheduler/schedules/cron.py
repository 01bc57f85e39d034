"""When a cron expression is due in a time zone; pure.

An expression speaks of the clock on the wall, a due time is an instant. `cronsim` finds the
times on the wall that match, on a calendar without time zones; this module says which instants
they are: usually one each, none (or the end of the jump) where a clock going forward jumps over
them, two where a clock going back shows them twice. Each of the two readings of a wall (`fold`
in PEP 495) never runs backward, so that the due times around an instant are found from the
wall of that instant alone.

The rule where no other is asked for is that of Debian's cron: a job at a time of day (its
minute and hour are given) runs once, at the end of the jump if its time is jumped over, and the
first time if its time comes twice; one with ``*`` for its minute or hour, or with seconds, runs
by elapsed time.
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
    """What becomes of a time that the clock jumps over."""

    RUN = "run"  # at the end of the jump
    SKIP = "skip"


class Repeated(StrEnum):
    """What becomes of a time that the clock shows twice."""

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
        """A checked expression, with Debian's rule for what is None. Raises `InvalidCron`."""
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
        """The first due time after `time`, in UTC; None: there is none within 50 years."""
        found = [self._after(time, fold) for fold in self._folds]
        return min((one for one in found if one), default=None)

    def until(self, time: datetime) -> datetime | None:
        """The last due time up to `time`, itself included; None: none within 50 years."""
        found = [self._until(time, fold) for fold in self._folds]
        return max((one for one in found if one), default=None)

    @property
    def _folds(self) -> tuple[int, ...]:
        return {Repeated.FIRST: (0,), Repeated.LAST: (1,), Repeated.BOTH: (0, 1)}[self.repeated]

    def _after(self, time: datetime, fold: int) -> datetime | None:
        walls = matches(self.expression, _reached(time, self.zone, fold))
        return next((at for at in self._instants(walls, fold) if at > time), None)

    def _until(self, time: datetime, fold: int) -> datetime | None:
        reached = _reached(time, self.zone, fold).replace(microsecond=0)
        walls = matches(self.expression, reached + _SECOND, reverse=True)  # leaves its start out
        return next((at for at in self._instants(walls, fold) if at <= time), None)

    def _instants(self, walls: Iterator[datetime], fold: int) -> Iterator[datetime]:
        for wall in walls:
            first, second = _offsets(wall, self.zone)
            if first >= second:
                yield _utc(wall, second if fold else first)
            elif self.missing is Missing.RUN:
                yield _change(self.zone, _utc(wall, second), _utc(wall, first))


def check(expression: str) -> None:
    """Raise `InvalidCron` unless the expression can be read and matches some time."""
    try:
        cron_expression.check(expression)
    except CronSyntaxError as error:
        raise InvalidCron(f"{error} (in the cron expression '{expression[:100]}')") from None


def _at_a_time_of_day(expression: str) -> bool:
    fields = expression.split()
    return len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")


def _reached(time: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """Up to which wall, itself included, everything has come by `time` in the reading `fold`."""
    local = time.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    first, second = _offsets(wall, zone)
    if first <= second or fold == local.fold:
        return wall
    # Between the two passes of a repeated stretch of walls all of it has come in the first
    # reading, and nothing of it in the second.
    change = _change(zone, _utc(wall, first), _utc(wall, second))
    return (change + (second if fold else first)).replace(tzinfo=None) - _SECOND


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """The offsets of a wall's two readings: equal, first > second where the clock shows it
    twice, first < second where it jumps over it."""
    first = wall.replace(tzinfo=zone, fold=0).utcoffset()
    second = wall.replace(tzinfo=zone, fold=1).utcoffset()
    return first or _ZERO, second or _ZERO  # a ZoneInfo has them always


def _utc(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The one instant between the two, to the second, at which the zone's offset changes."""
    before, after = before.replace(microsecond=0), after.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
