"""Schedules, their next due times and their ledger."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas.commands import CommandSchema
from api.schemas.common import ANY, NAMESPACE, CommaSeparated, PageSchema, time, uuid


def told(description: str, **options: Any) -> fields.String:
    """A time that needs a word."""
    metadata = {"format": "date-time", "description": description}
    return fields.String(metadata=metadata, **options)


KINDS = ("every", "cron", "after", "on")
STATES = ("active", "paused", "stopped")
OUTCOMES = ("started", "queued", "skipped")
REASONS = ("schedule", "manual", "backfill", "event")


class DueSchema(Schema):
    """A due time, and when it is to fire: with its share of the jitter."""

    due = time(required=True)
    fires_at = time(required=True)


class ScheduleSummarySchema(Schema):
    """A workflow's recurring start."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    workflow = fields.String(required=True)
    version = fields.String(
        required=True, metadata={"description": "the version that it starts: the newest"}
    )
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={"description": "`stopped`: no version of the workflow has it any more"},
    )
    timing = ANY(required=True, metadata={"description": "durations in seconds"})
    policy = ANY(required=True, metadata={"description": "as in the document"})
    next_due = time(required=True, allow_none=True)
    next_at = told("with the jitter", required=True, allow_none=True)
    last_instance = uuid(required=True, allow_none=True)
    waiting = fields.Boolean(
        required=True, metadata={"description": "something waits for the last instance's end"}
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
    """Which schedules."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    workflow = fields.String(validate=validate.Length(1, 255))
    state = CommaSeparated(STATES, load_default=())


class NextQuerySchema(Schema):
    """How many due times to show."""

    next = fields.Integer(load_default=1, validate=validate.Range(0, 1000))


class ChangeScheduleSchema(CommandSchema):
    """Pause a schedule, or resume it."""

    paused = fields.Boolean(required=True)


class TriggerSchema(CommandSchema):
    """Start an instance now."""

    input = ANY(metadata={"description": "in place of the policy's"})


class BackfillSchema(CommandSchema):
    """Fire the due times of a range that has passed, both ends included."""

    from_ = time(data_key="from", required=True)
    to = time(required=True)


class FiringSchema(Schema):
    """What became of a due time."""

    due = time(required=True)
    reason = fields.String(required=True, validate=validate.OneOf(REASONS))
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    why = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "why it was skipped: `missed`, `overlap` or `stopped`"},
    )
    since = told(
        "it stands for all due times from then on that were missed", required=True, allow_none=True
    )
    fires_at = told("due, and the jitter", required=True)
    fired_at = time(required=True, allow_none=True)
    delay_seconds = fields.Float(
        required=True, allow_none=True, metadata={"description": "seconds from plan to start"}
    )
    instance = uuid(required=True, allow_none=True)
    version = fields.String(required=True)


class FiringsSchema(Schema):
    """A page of the ledger."""

    items = fields.List(fields.Nested(FiringSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class FiringsQuerySchema(PageSchema):
    """Which part of the ledger."""

    outcome = CommaSeparated(OUTCOMES, load_default=())
    since = fields.AwareDateTime(metadata={"description": "due at or after this"})
    until = fields.AwareDateTime(metadata={"description": "due at or before this"})


class BackfilledSchema(Schema):
    """The due times that fire now, or one after the other."""

    items = fields.List(fields.Nested(FiringSchema), required=True)
