"""Durations of the DSL (dsl-reference.md, Duration).

    duration({"hours": 2, "minutes": 15})    # 2:15:00
    duration("PT2H15M")                      # the same

A duration is a mapping of integer units or an ISO 8601 text. The specification does not define the
length of a year and a month. Here they have 365 and 30 days, so that a duration does not depend on
when it starts. Fractions of a microsecond are dropped.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

from orchestrator.errors import OrchestratorError

Json = Any

#: The longest duration. Added to any date that occurs here, it still yields a date.
MAX_DURATION = timedelta(days=100 * 365)

_MICROSECONDS = {
    "milliseconds": 1_000,
    "seconds": 1_000_000,
    "minutes": 60_000_000,
    "hours": 3_600_000_000,
    "days": 86_400_000_000,
}
_DAY = _MICROSECONDS["days"]
_DATE = {"Y": 365 * _DAY, "M": 30 * _DAY, "W": 7 * _DAY, "D": _DAY}
_TIME = {
    "H": _MICROSECONDS["hours"],
    "M": _MICROSECONDS["minutes"],
    "S": _MICROSECONDS["seconds"],
}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"


def _parts(units: dict[str, int]) -> str:
    return "".join(f"(?:({_NUMBER}){unit})?" for unit in units)


_ISO = re.compile(rf"P(?!\Z){_parts(_DATE)}(?:T(?=[0-9]){_parts(_TIME)})?")
_LONG = "9" * 20  # longer than the bound in any unit
_UNITS = (*_DATE.values(), *_TIME.values())


class InvalidDuration(OrchestratorError):
    """The value is not a duration."""


def duration(value: Json) -> timedelta:
    """Return a literal duration, or the result of an expression, as a `timedelta`.

    Raises `InvalidDuration` if it is not a duration, negative, or longer than `MAX_DURATION`.
    """
    if isinstance(value, dict):
        microseconds = _of_units(value)
    elif isinstance(value, str):
        microseconds = _of_text(value)
    else:
        raise InvalidDuration(f"{_display(value)} is not a duration")
    if microseconds < 0:
        raise InvalidDuration("a duration cannot be negative")
    if microseconds > MAX_DURATION // timedelta(microseconds=1):
        years = MAX_DURATION.days // 365
        raise InvalidDuration(f"a duration cannot be longer than {years} years")
    return timedelta(microseconds=microseconds)


def seconds(value: Json) -> float:
    """Return `duration(value)` in seconds."""
    return duration(value).total_seconds()


def has_calendar_units(value: Json) -> bool:
    """Whether the text contains years or months, which have no fixed length in a calendar."""
    match = _ISO.fullmatch(value) if isinstance(value, str) else None
    return match is not None and any(float(each or 0) for each in match.groups()[:2])


def _of_units(value: dict[str, Json]) -> int:
    if not value:
        raise InvalidDuration("an empty mapping is not a duration")
    total = 0
    for unit, number in value.items():
        if unit not in _MICROSECONDS:
            raise InvalidDuration(f"{_display(unit)} is not a unit of time")
        if isinstance(number, bool) or not isinstance(number, int | float) or number % 1:
            raise InvalidDuration(f"{unit} must be a whole number")
        if number < 0:
            raise InvalidDuration("a duration cannot be negative")
        total += int(number) * _MICROSECONDS[unit]
    return total


def _of_text(text: str) -> int:
    match = _ISO.fullmatch(text)
    if match is None:
        raise InvalidDuration(f"{_display(text)} is not a duration of ISO 8601, like 'PT15M'")
    numbers = zip(match.groups(), _UNITS, strict=True)
    return int(sum(_decimal(number) * unit for number, unit in numbers if number is not None))


def _decimal(number: str) -> Decimal:
    """Return a number cut to what can matter: longer numbers exceed the bound, smaller fractions a
    microsecond."""
    whole, _, fraction = number.partition(".")
    return Decimal(f"{min(whole.lstrip('0') or '0', _LONG, key=len)}.{fraction[:20] or '0'}")


def _display(value: Json) -> str:
    text = repr(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= 60 else text[:60] + "..."
