"""Statistics of a workflow."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import STATUSES, Moment, time


class StatisticsQuerySchema(Schema):
    """A time range, by the creation of instances, and a version."""

    since = Moment(metadata={"description": "by default a day before `until`"})
    until = Moment(metadata={"description": "by default now"})
    version = fields.String(validate=validate.Length(1, 255))


class TaskStatisticsSchema(Schema):
    """What the steps of a task did. Times are in milliseconds, of completed steps."""

    reference = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    here = fields.Dict(
        keys=fields.String(validate=validate.OneOf(STATUSES)),
        values=fields.Integer(),
        required=True,
        metadata={"description": "open steps by status"},
    )
    passed = fields.Integer(required=True)
    faulted = fields.Integer(required=True)
    retried = fields.Integer(
        required=True, metadata={"description": "steps with more than one attempt"}
    )
    p50_ms = fields.Float(required=True, allow_none=True)
    p95_ms = fields.Float(required=True, allow_none=True)
    total_ms = fields.Float(required=True)


class StatisticsSchema(Schema):
    """What the instances of a time range did, and each task in them."""

    since = time(required=True)
    until = time(required=True)
    exact = fields.Boolean(
        required=True,
        metadata={"description": "false: only the newest 2,000 instances were read"},
    )
    started = fields.Integer(required=True)
    completed = fields.Integer(required=True)
    waiting = fields.Integer(required=True, metadata={"description": "that have not ended"})
    faulted = fields.Integer(required=True)
    cancelled = fields.Integer(required=True)
    undone = fields.Integer(required=True, metadata={"description": "wholly compensated"})
    median_ms = fields.Float(
        required=True, allow_none=True, metadata={"description": "from start to completion"}
    )
    tasks = fields.List(fields.Nested(TaskStatisticsSchema), required=True)


class DiffQuerySchema(Schema):
    """Two versions."""

    from_ = fields.String(data_key="from", required=True, validate=validate.Length(1, 255))
    to = fields.String(required=True, validate=validate.Length(1, 255))


class DiffLineSchema(Schema):
    """A line of both texts, or of one of them."""

    op = fields.String(required=True, validate=validate.OneOf((" ", "+", "-")))
    from_ = fields.Integer(data_key="from", required=True, allow_none=True)
    to = fields.Integer(required=True, allow_none=True)
    text = fields.String(required=True)


class DiffSchema(Schema):
    """How the deployed text of a version differs from that of another one."""

    lines = fields.List(fields.Nested(DiffLineSchema), required=True)
    changes = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "a sentence for each task that was added, removed or changed"},
    )
