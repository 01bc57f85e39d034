"""Durations: ISO 8601 or days to milliseconds (dsl-reference.md, Duration)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from orchestrator.core.faults import validation

#: The pattern of the official schema, which also allows years, months and weeks.
_ISO = re.compile(
    r"P(?!$)(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?=\d)(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
_ISO_SECONDS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)
_SECONDS: Mapping[str, float] = {
    "days": 86400,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
    "milliseconds": 0.001,
}

#: Nothing may wait longer than this; it also keeps sums of times within a date.
LONGEST = timedelta(days=100 * 365)


def seconds(value: Any) -> float:
    """A duration in seconds; raises a `validation` fault for what is none.

    A year counts as 365 days and a month as 30: a duration has no calendar.
    """
    if isinstance(value, str):
        total = _of_text(value)
    elif isinstance(value, Mapping) and value:
        total = _of_parts(value)
    else:
        raise validation(f"{value!r} is no duration")
    if not 0 <= total <= LONGEST.total_seconds():
        raise validation(f"a duration is at least 0 and at most 100 years: {value!r}")
    return total


def duration(value: Any) -> timedelta:
    """As `seconds`, for sums with times."""
    return timedelta(seconds=seconds(value))


def _of_text(text: str) -> float:
    found = _ISO.fullmatch(text.strip())
    if found is None or len(text) > 100:
        raise validation(f"{text[:100]!r} is no ISO 8601 duration")
    parts = zip(found.groups(), _ISO_SECONDS, strict=True)
    return sum(float(part) * unit for part, unit in parts if part)


def _of_parts(parts: Mapping[str, Any]) -> float:
    total = 0.0
    for name, count in parts.items():
        if name not in _SECONDS or isinstance(count, bool) or not isinstance(count, int | float):
            raise validation(f"{name}: {count!r} is no part of a duration")
        total += min(count, 1e12) * _SECONDS[name]
    return total
