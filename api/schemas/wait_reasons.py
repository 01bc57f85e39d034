"""The reasons why an instance waits."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import COMPENSATIONS, STATUSES, time, uuid

KINDS = (
    "ended", "moving", "engine", "suspended", "broker", "no-control", "inbox", "stuck", "no-worker",
    "no-task", "no-processes", "no-slot", "unpublished", "delivery", "running", "silent-worker",
    "lease", "withdrawn", "workflow", "timer", "retry", "no-beat", "event", "event-came",
    "compensating", "dead-letter", "unknown-outcome", "repaired-child",
)  # fmt: skip


class CauseSchema(Schema):
    """One cause. Its members depend on its kind."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    message = fields.String(required=True)
    tone = fields.String(
        required=True,
        validate=validate.OneOf(("calm", "soon", "alarm")),
        metadata={"description": "`soon`: changes by itself; `alarm`: a person must act"},
    )
    step = fields.Integer(allow_none=True)
    reference = fields.String(allow_none=True)
    since = time(allow_none=True)
    until = time()
    queue = fields.String()
    worker = fields.String()
    workers = fields.Boolean(metadata={"description": "whether any worker is alive"})
    instance = uuid()
    dead_letter = uuid()
    app = fields.String(
        allow_none=True,
        metadata={
            "description": "the argument of `celery -A` that starts such a worker; null:"
            " `orchestrator worker` starts it"
        },
    )
    meant = fields.String(metadata={"description": "the task with the most similar name"})
    filters = fields.List(fields.Dict(), metadata={"description": "filters of the awaited events"})


class WhySchema(Schema):
    """The state of an instance and every known cause of its waiting."""

    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    causes = fields.List(fields.Nested(CauseSchema), required=True, validate=validate.Length(1))
