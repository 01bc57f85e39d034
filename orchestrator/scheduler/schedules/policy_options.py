"""What a document says of its schedules: when, and by which policies; pure.

``schedule`` is the DSL's own (dsl-reference.md, Schedule); the policies are an extension::

    document:
      metadata:
        schedule:
          timezone: Europe/Berlin                          # of cron; default UTC
          daylightSaving: { missing: run, repeated: first }   # default: Debian cron's rule
          misfire: once                                    # skip, once, all
          cap: 100                                         # of misfire: all
          grace: PT10S                                     # later than this is missed
          overlap: allow                                   # allow, skip, queue, cancel
          jitter: PT30S                                    # each due time is put off by up to this
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
    """What becomes of due times that nobody saw in time."""

    SKIP = "skip"
    ONCE = "once"  # the last of them, for all
    ALL = "all"  # each, but the newest `cap` at most


class Overlap(StrEnum):
    """What becomes of a due time while the instance started before is still open."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"  # one waits for its end
    CANCEL = "cancel"  # it is cancelled; the new one starts once that has settled


#: Missed due times that fire at most under `Misfire.ALL`.
CAP = 100
#: How late a due time may fire without counting as missed, in s: longer than it takes the
#: other beats to do the work of one that died.
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The policies of a schedule; durations in seconds. `missing` and `repeated` None: as
    Debian's cron has it (see `cron`). `input` may hold `PLACEHOLDERS`."""

    timezone: ZoneInfo
    missing: Missing | None = None
    repeated: Repeated | None = None
    misfire: Misfire = Misfire.ONCE
    cap: int = CAP
    grace: float = GRACE
    overlap: Overlap = Overlap.ALLOW
    jitter: float = 0.0
    input: Json = None


#: What stands in `Policy.input` as a whole string is replaced in each instance's input.
PLACEHOLDERS = ("due", "local", "schedule", "reason")


def placeholder(text: str) -> str | None:
    """The name in ``${ .due }`` and its like; None for any other text."""
    if not (text.startswith("${") and text.endswith("}")):
        return None
    name = text[2:-1].strip()
    return name[1:] if name.startswith(".") and name[1:] in PLACEHOLDERS else None


def fill(value: Json, values: Mapping[str, Json]) -> Json:
    """A policy's `input` with its placeholders replaced."""
    if isinstance(value, str):
        name = placeholder(value)
        return value if name is None else values[name]
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule of a document. `timing` is, by kind, ``{"every": seconds}``,
    ``{"cron": expression}``, ``{"after": seconds}`` or the document's ``{"on": ..., "read"?}``."""

    kind: ScheduleKind
    timing: Mapping[str, Any]
    policy: Policy

    def recurrence(self, anchor: datetime) -> Recurrence | None:
        """Its due times; None where they depend on something else than time."""
        if self.kind is ScheduleKind.EVERY:
            return Every(anchor, max(SHORTEST, timedelta(seconds=self.timing["every"])))
        if self.kind is ScheduleKind.CRON:
            policy = self.policy
            cron = self.timing["cron"]
            return Cron.of(cron, policy.timezone, policy.missing, policy.repeated)
        return None


#: An interval is at least this: the finest that the DSL's durations say in units.
SHORTEST = timedelta(milliseconds=1)

#: Where the policies stand in a document.
_METADATA = "/document/metadata/schedule"


def plans(document: Mapping[str, Any], shortest: float = 0.0) -> tuple[Plan, ...]:
    """The schedules of a document that has been checked (see `orchestrator.document`), none of
    which fires more often than every `shortest` seconds.

    Raises `InvalidDocument` where a policy's duration is an expression: there is nothing that
    it could look at.
    """
    schedule = document.get("schedule") or {}
    policy = policy_of(stored_policy(document))
    return tuple(
        Plan(kind, _timing(kind, schedule, shortest), policy)
        for kind in ScheduleKind
        if kind.value in schedule
    )


def stored_policy(document: Mapping[str, Any]) -> dict[str, Any]:
    """The policies as the document has them, which is how they are stored."""
    return (document["document"].get("metadata") or {}).get("schedule") or {}


def policy_of(given: Mapping[str, Any]) -> Policy:
    """The policies that a document asks for, the others by their defaults."""
    clock = given.get("daylightSaving") or {}
    return Policy(
        timezone=ZoneInfo(given.get("timezone", "UTC")),
        missing=Missing(clock["missing"]) if "missing" in clock else None,
        repeated=Repeated(clock["repeated"]) if "repeated" in clock else None,
        misfire=Misfire(given.get("misfire", Misfire.ONCE)),
        cap=given.get("cap", CAP),
        grace=_seconds(given, "grace", GRACE),
        overlap=Overlap(given.get("overlap", Overlap.ALLOW)),
        jitter=_seconds(given, "jitter", 0.0),
        input=given.get("input"),
    )


def _seconds(given: Mapping[str, Any], name: str, default: float) -> float:
    try:
        return seconds(given[name]) if name in given else default
    except InvalidDuration as error:
        raise InvalidDocument([Diagnostic(f"{_METADATA}/{name}", 1, 1, str(error))]) from None


def _timing(kind: ScheduleKind, schedule: Mapping[str, Any], shortest: float) -> dict[str, Any]:
    if kind is ScheduleKind.CRON:
        expression = schedule["cron"].strip()
        return {"cron": ALIASES.get(expression.lower(), expression)}
    if kind is ScheduleKind.ON:
        return {name: schedule[name] for name in ("on", "read") if name in schedule}
    return {kind.value: max(shortest, seconds(schedule[kind.value]))}
