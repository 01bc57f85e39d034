"""Reads cron expressions, on a calendar without time zones; pure.

    read("0 12 ? * MON-FRI")     # Quartz's `?`, read as `*`
    read("0 0 15W * *")          # the weekday nearest to the 15th
    matches("0 2 * * *", start)  # the matching local times after the start

Five fields, or six with the seconds first, or one of `ALIASES`.
"""

from __future__ import annotations

import re
from calendar import SATURDAY, SUNDAY, monthrange
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from orchestrator.errors import OrchestratorError

#: Names for common expressions (crontab(5)).
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

#: Indexes of these fields in an expression of six fields.
_DAY, _WEEKDAY = 3, 5

#: Quartz counts the days of the week from 1, cron from 0, and both from Sunday.
_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_NEAREST = re.compile(r"([0-9]{1,2})W")
_NUMBER = re.compile(r"(?<![#/0-9])([1-7])(L?)(?![0-9])")

#: Start of the search for a first match. Any date before the end of a leap year will do.
_TRIAL_START = datetime(2024, 1, 1)  # noqa: DTZ001 - times of day, wherever that is


class CronSyntaxError(OrchestratorError):
    """The expression cannot be read, or never matches."""


class CronText(NamedTuple):
    """An expression in the form that `cronsim` reads. With `nearest`, only the weekday nearest to
    this day of the month counts among the matching days."""

    text: str
    nearest: int | None = None


def read(expression: str) -> CronText:
    """Read an expression. Raise `CronSyntaxError`, which names the equivalent cron form of a Quartz
    expression if there is one."""
    text = ALIASES.get(expression.strip().lower(), expression).upper()
    fields = text.split()
    if len(fields) == 7 and fields.pop() not in ("*", "?"):
        raise CronSyntaxError("a year, Quartz's seventh field, is not known")
    offset = 6 - len(fields)
    if offset not in (0, 1):
        raise CronSyntaxError("wrong number of fields")
    day, weekday = _DAY - offset, _WEEKDAY - offset
    quartz = "?" in (fields[day], fields[weekday]) or len(text.split()) == 7
    for index in (day, weekday):
        fields[index] = "*" if fields[index] == "?" else fields[index]
    if quartz and _NUMBER.search(fields[weekday]):
        fields[weekday] = _NUMBER.sub(_weekday_name, fields[weekday])
        raise CronSyntaxError(
            f"Quartz counts the days of the week from Sunday, 1: write {_display(fields)}"
        )
    nearest = _nearest_weekday(fields, day, weekday)
    return CronText(" ".join(fields), nearest)


def check(expression: str) -> None:
    """Raise `CronSyntaxError` unless the expression can be read and matches some time."""
    try:
        first = next(matches(expression, _TRIAL_START), None)
    except CronSimError as error:
        raise CronSyntaxError(str(error)[:1].lower() + str(error)[1:]) from None
    if first is None:
        raise CronSyntaxError("it never matches")


def matches(expression: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Yield the matching times after `start`, or before it with `reverse`, at most 50 years away.

    Raises `CronSyntaxError`, `CronSimError`.
    """
    text, nearest = read(expression)
    for time in CronSim(text, start, reverse=reverse):
        if nearest is None or time.day == nearest_weekday(time.year, time.month, nearest):
            yield time


def nearest_weekday(year: int, month: int, day: int) -> int | None:
    """Return the weekday of a month nearest to one of its days, or None if the month has no such
    day."""
    first, last = monthrange(year, month)
    if day > last:
        return None
    weekday = (first + day - 1) % 7
    if weekday == SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == SUNDAY:
        return day + 1 if day < last else day - 2
    return day


def _nearest_weekday(fields: list[str], day: int, weekday: int) -> int | None:
    """Return the `n` of Quartz's `nW`; replace its field by the days that `nW` can mean."""
    if "W" not in fields[day] or fields[day] == "LW":
        return None
    match = _NEAREST.fullmatch(fields[day])
    if match is None or not 1 <= int(match[1]) <= 31:
        message = "'nW', the weekday nearest to a day, is alone in its field, from '1W' to '31W'"
        raise CronSyntaxError(message)
    if fields[weekday] != "*":
        raise CronSyntaxError("'nW' is a weekday by itself: the day of the week is '*' or '?'")
    number = int(match[1])
    fields[day] = f"{max(1, number - 2)}-{min(31, number + 2)}"
    return number


def _weekday_name(match: re.Match[str]) -> str:
    number = int(match[1]) - 1
    return f"{number}L" if match[2] else _NAMES[number]


def _display(fields: list[str]) -> str:
    return f"'{' '.join(fields)}'"
