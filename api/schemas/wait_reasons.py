"""Why an instance stands still."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import COMPENSATIONS, STATUSES, time, uuid

KINDS = (
    "ended", "moving", "engine", "suspended", "broker", "no-control", "inbox", "stuck", "no-worker",
    "no-task", "no-processes", "no-slot", "unpublished", "delivery", "running", "silent-worker",
    "lease", "withdrawn", "workflow", "timer", "retry", "no-beat", "event", "compensating",
    "dead-letter", "unknown-outcome",
)  # fmt: skip


class CauseSchema(Schema):
    """One cause; which members it has depends on its kind."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    message = fields.String(required=True)
    step = fields.Integer(allow_none=True)
    reference = fields.String(allow_none=True)
    since = time(allow_none=True)
    until = time()
    queue = fields.String()
    worker = fields.String()
    instance = uuid()
    dead_letter = uuid()
    app = fields.String(
        allow_none=True,
        metadata={
            "description": "what `celery -A` is given to start such a worker; null:"
            " `orchestrator worker` does"
        },
    )
    meant = fields.String(metadata={"description": "the task that was probably meant"})
    filters = fields.List(
        fields.Dict(), metadata={"description": "of the events that are waited for"}
    )


class WhySchema(Schema):
    """Every cause that is known."""

    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    causes = fields.List(fields.Nested(CauseSchema), required=True, validate=validate.Length(1))
