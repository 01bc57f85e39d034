"""Reads the schedules of a document: their times and policies; pure.

``schedule`` is part of the DSL (dsl-reference.md, Schedule); the policies are an extension::

    document:
      metadata:
        schedule:
          timezone: Europe/Berlin                          # of cron; default UTC
          daylightSaving: { missing: run, repeated: first }   # default: Debian cron's rule
          misfire: once                                    # skip, once, all
          cap: 100                                         # of misfire: all
          grace: PT10S                                     # later than this is missed
          overlap: allow                                   # allow, skip, queue, cancel
          jitter: PT30S                                    # longest delay of a due time
          input: { day: '${ .due }' }                      # of the instances it starts
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.core.model import Json
from orchestrator.document import Diagnostic, InvalidDocument
from orchestrator.document.cron_expression import ALIASES
from orchestrator.document.durations import InvalidDuration, seconds
from orchestrator.scheduler.schedules.cron import Cron, Missing, Repeated
from orchestrator.scheduler.schedules.recurrence import Every, Recurrence


class ScheduleKind(StrEnum):
    """What makes a schedule due."""

    EVERY = "every"
    CRON = "cron"
    AFTER = "after"
    ON = "on"


class Misfire(StrEnum):
    """What to do with missed due times."""

    SKIP = "skip"
    ONCE = "once"  # the last one, for all of them
    ALL = "all"  # each, at most the newest `cap`


class Overlap(StrEnum):
    """What to do with a due time while the schedule's last instance is open."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"  # one waits for its end
    CANCEL = "cancel"  # cancel the open instance; the new one starts when that is final


#: Largest number of missed due times that fire under `Misfire.ALL`.
CAP = 100
#: How late a due time may fire without counting as missed, in seconds: longer than other beats
#: need to take over from one that died.
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """The policies of a schedule; durations in seconds. `missing` and `repeated` None: the rule
    of Debian's cron (see `cron`). `input` may hold `PLACEHOLDERS`."""

    timezone: ZoneInfo
    missing: Missing | None = None
    repeated: Repeated | None = None
    misfire: Misfire = Misfire.ONCE
    cap: int = CAP
    grace: float = GRACE
    overlap: Overlap = Overlap.ALLOW
    jitter: float = 0.0
    input: Json = None


#: Names that `Policy.input` may use as ``${ .name }``; a whole string of that form is replaced.
PLACEHOLDERS = ("due", "local", "schedule", "reason")


def placeholder_name(text: str) -> str | None:
    """Return the name in a text like ``${ .due }``; None for any other text."""
    if not (text.startswith("${") and text.endswith("}")):
        return None
    name = text[2:-1].strip()
    return name[1:] if name.startswith(".") and name[1:] in PLACEHOLDERS else None


def fill(value: Json, values: Mapping[str, Json]) -> Json:
    """Return a policy's `input` with its placeholders replaced."""
    if isinstance(value, str):
        name = placeholder_name(value)
        return value if name is None else values[name]
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """One schedule of a document. `timing` is, by kind, ``{"every": seconds}``,
    ``{"cron": expression}``, ``{"after": seconds}`` or the document's ``{"on": ..., "read"?}``."""

    kind: ScheduleKind
    timing: Mapping[str, Any]
    policy: SchedulePolicy

    def recurrence(self, anchor: datetime) -> Recurrence | None:
        """Return its due times; None if they do not depend on time alone."""
        if self.kind is ScheduleKind.EVERY:
            return Every(anchor, max(SHORTEST, timedelta(seconds=self.timing["every"])))
        if self.kind is ScheduleKind.CRON:
            policy = self.policy
            cron = self.timing["cron"]
            return Cron.of(cron, policy.timezone, policy.missing, policy.repeated)
        return None


#: Shortest interval: the smallest unit of the DSL's durations.
SHORTEST = timedelta(milliseconds=1)

#: The JSON pointer of the policies in a document.
_METADATA = "/document/metadata/schedule"


def plans(document: Mapping[str, Any], shortest: float = 0.0) -> tuple[SchedulePlan, ...]:
    """Return the schedules of a checked document (see `orchestrator.document`). None of them fires
    more often than every `shortest` seconds.

    Raises `InvalidDocument` if a policy's duration is an expression: no data exists to evaluate it.
    """
    schedule = document.get("schedule") or {}
    policy = policy_of(stored_policy(document))
    return tuple(
        SchedulePlan(kind, _timing(kind, schedule, shortest), policy)
        for kind in ScheduleKind
        if kind.value in schedule
    )


def stored_policy(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policies as JSON, as in the document and in the database."""
    return (document["document"].get("metadata") or {}).get("schedule") or {}


def policy_of(stored: Mapping[str, Any]) -> SchedulePolicy:
    """Return the policies of a stored JSON; missing ones have their defaults."""
    clock = stored.get("daylightSaving") or {}
    return SchedulePolicy(
        timezone=ZoneInfo(stored.get("timezone", "UTC")),
        missing=Missing(clock["missing"]) if "missing" in clock else None,
        repeated=Repeated(clock["repeated"]) if "repeated" in clock else None,
        misfire=Misfire(stored.get("misfire", Misfire.ONCE)),
        cap=stored.get("cap", CAP),
        grace=_seconds(stored, "grace", GRACE),
        overlap=Overlap(stored.get("overlap", Overlap.ALLOW)),
        jitter=_seconds(stored, "jitter", 0.0),
        input=stored.get("input"),
    )


def _seconds(stored: Mapping[str, Any], name: str, default: float) -> float:
    try:
        return seconds(stored[name]) if name in stored else default
    except InvalidDuration as error:
        raise InvalidDocument([Diagnostic(f"{_METADATA}/{name}", 1, 1, str(error))]) from None


def _timing(kind: ScheduleKind, schedule: Mapping[str, Any], shortest: float) -> dict[str, Any]:
    if kind is ScheduleKind.CRON:
        expression = schedule["cron"].strip()
        return {"cron": ALIASES.get(expression.lower(), expression)}
    if kind is ScheduleKind.ON:
        return {name: schedule[name] for name in ("on", "read") if name in schedule}
    return {kind.value: max(shortest, seconds(schedule[kind.value]))}
