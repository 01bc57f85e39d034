"""Where the time of an instance went."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.schemas.common import time


def _ms(description: str) -> fields.Float:
    return fields.Float(required=True, metadata={"description": f"ms: {description}"})


class TimePartsSchema(Schema):
    """Time by kind; each moment has one, so that the parts sum to the total."""

    suspended = _ms("the instance was suspended")
    running = _ms("a worker ran an attempt")
    queued = _ms("an attempt waited for a worker")
    backoff = _ms("a pause before the next attempt")
    waiting = _ms("for a time, an event or a sub-workflow")
    between = _ms("none of these: before, between and after steps")


class StepTimeSchema(Schema):
    """The time of one step that consists of no others."""

    step = fields.Integer(required=True)
    name = fields.String(required=True)
    reference = fields.String(required=True)
    total_ms = fields.Float(required=True)
    parts = fields.Nested(TimePartsSchema, required=True)


class PathPieceSchema(Schema):
    """A step of the critical path, and when the instance waited for it."""

    step = fields.Integer(required=True)
    name = fields.String(required=True)
    reference = fields.String(required=True)
    since = time(required=True)
    until = time(required=True)


class TimeAccountSchema(Schema):
    """The time of an instance from its start to its end, or until now."""

    since = time(required=True, allow_none=True, metadata={"description": "null: not started"})
    until = time(required=True)
    exact = fields.Boolean(
        required=True, metadata={"description": "false: only the newest 5,000 steps count"}
    )
    total_ms = fields.Float(required=True)
    parts = fields.Nested(TimePartsSchema, required=True)
    steps = fields.List(
        fields.Nested(StepTimeSchema),
        required=True,
        metadata={"description": "the 200 that took longest, the longest first"},
    )
    path = fields.List(
        fields.Nested(PathPieceSchema),
        required=True,
        metadata={
            "description": "found from the end backwards: each time the step that ended last"
            " before the next one began; at most the last 500 pieces"
        },
    )
