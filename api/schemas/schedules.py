"""Schedules, their next due times and their firings."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas.commands import CommandSchema
from api.schemas.common import ANY, NAMESPACE, CommaSeparated, PageSchema, time, uuid


def described_time(description: str, **options: Any) -> fields.String:
    """Return a field of a time with a description."""
    metadata = {"format": "date-time", "description": description}
    return fields.String(metadata=metadata, **options)


KINDS = ("every", "cron", "after", "on")
STATES = ("active", "paused", "stopped")
OUTCOMES = ("started", "queued", "skipped")
REASONS = ("schedule", "manual", "backfill", "event")


class DueSchema(Schema):
    """A due time, and when it fires: the due time plus its jitter."""

    due = time(required=True)
    fires_at = time(required=True)


class ScheduleSummarySchema(Schema):
    """A workflow's recurring start."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    workflow = fields.String(required=True)
    version = fields.String(
        required=True, metadata={"description": "the version that it starts, which is the newest"}
    )
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={"description": "`stopped`: the newest version of the workflow no longer has it"},
    )
    timing = ANY(required=True, metadata={"description": "durations in seconds"})
    policy = ANY(required=True, metadata={"description": "as in the document"})
    next_due = time(required=True, allow_none=True)
    next_at = described_time("with jitter", required=True, allow_none=True)
    last_instance = uuid(required=True, allow_none=True)
    waiting = fields.Boolean(
        required=True, metadata={"description": "a firing waits for the end of the last instance"}
    )
    created_at = time(required=True)


class ScheduleSchema(ScheduleSummarySchema):
    """A schedule with its next due times."""

    next = fields.List(fields.Nested(DueSchema), required=True)


class SchedulesSchema(Schema):
    """A page of schedules."""

    items = fields.List(fields.Nested(ScheduleSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class SchedulesQuerySchema(PageSchema):
    """A filter of schedules."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    workflow = fields.String(validate=validate.Length(1, 255))
    state = CommaSeparated(STATES, load_default=())


class NextQuerySchema(Schema):
    """The number of due times to show."""

    next = fields.Integer(load_default=1, validate=validate.Range(0, 1000))


class ChangeScheduleSchema(CommandSchema):
    """Pause a schedule, or resume it."""

    paused = fields.Boolean(required=True)


class TriggerSchema(CommandSchema):
    """Start an instance now."""

    input = ANY(metadata={"description": "instead of the policy's input"})


class BackfillSchema(CommandSchema):
    """Fire the due times of a past range, both ends included."""

    from_ = time(data_key="from", required=True)
    to = time(required=True)


class FiringSchema(Schema):
    """The result of a due time."""

    due = time(required=True)
    reason = fields.String(required=True, validate=validate.OneOf(REASONS))
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    why = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "reason of a skip: `missed`, `overlap` or `stopped`"},
    )
    since = described_time(
        "the first missed due time that this stands for",
        required=True,
        allow_none=True,
    )
    fires_at = described_time("the due time plus jitter", required=True)
    fired_at = time(required=True, allow_none=True)
    delay_seconds = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "seconds between `fires_at` and `fired_at`"},
    )
    instance = uuid(required=True, allow_none=True)
    version = fields.String(required=True)


class FiringsSchema(Schema):
    """A page of firings."""

    items = fields.List(fields.Nested(FiringSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class FiringsQuerySchema(PageSchema):
    """A filter of firings."""

    outcome = CommaSeparated(OUTCOMES, load_default=())
    since = fields.AwareDateTime(metadata={"description": "due at or after this"})
    until = fields.AwareDateTime(metadata={"description": "due at or before this"})


class BackfilledSchema(Schema):
    """The firings of a backfill."""

    items = fields.List(fields.Nested(FiringSchema), required=True)
