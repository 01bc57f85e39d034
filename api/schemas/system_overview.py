"""Keys, the audit log, workers, queues, timers, listeners, dead letters, namespaces."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.commands import CommandSchema
from api.schemas.common import COMPENSATIONS, NAMESPACE, PageSchema, name, time, uuid
from api.schemas.steps import StepSchema

ROLES = ("viewer", "operator", "admin")


class NewKeySchema(Schema):
    """An API key to make."""

    name = name(255, required=True, metadata={"description": "stands in the audit log"})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    namespaces = fields.List(
        fields.String(metadata={"pattern": f"{NAMESPACE[:-1]}$|^\\*$"}),
        required=True,
        validate=validate.Length(1, 100),
        metadata={"description": "what it opens; `*` is all of them"},
    )
    expires_at = time(allow_none=True)


class KeySchema(Schema):
    """An API key, without its secret."""

    id = uuid(required=True)
    prefix = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    namespaces = fields.List(fields.String(), required=True)
    created_at = time(required=True)
    expires_at = time(required=True, allow_none=True)
    revoked_at = time(required=True, allow_none=True)


class NewKeySecretSchema(KeySchema):
    """A key that was just made."""

    key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "shown this once; null in a repeated answer"},
    )


class KeysSchema(Schema):
    """A page of keys."""

    items = fields.List(fields.Nested(KeySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class EntrySchema(Schema):
    """A line of the audit log."""

    id = fields.Integer(required=True)
    at = time(required=True)
    namespace = fields.String(required=True, allow_none=True)
    actor = fields.String(required=True)
    action = fields.String(required=True)
    target = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    details = fields.Raw(required=True)
    address = fields.String(required=True, allow_none=True)


class AuditSchema(Schema):
    """A page of the audit log, the newest first."""

    items = fields.List(fields.Nested(EntrySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class AuditQuerySchema(PageSchema):
    """Which part of the audit log."""

    action = fields.String(validate=validate.Length(1, 100))
    target = fields.String(validate=validate.Length(1, 600))


class WorkerSchema(Schema):
    """One incarnation of a worker."""

    id = uuid(required=True)
    name = fields.String(required=True)
    pid = fields.Integer(required=True)
    pool = fields.String(required=True)
    concurrency = fields.Integer(required=True)
    queues = fields.List(fields.String(), required=True)
    tasks = fields.List(fields.String(), required=True)
    free = fields.Integer(required=True, metadata={"description": "idle slots"})
    in_flight = fields.Integer(required=True, metadata={"description": "attempts in hand"})
    state = fields.String(
        required=True, validate=validate.OneOf(("live", "stopping", "silent", "stopped"))
    )
    started_at = time(required=True)
    seen_at = time(required=True)
    stopped_at = time(required=True, allow_none=True)
    counts = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "since its start: attempts claimed by their messages, continued with,"
            " ended, left to their leases; messages refused; results that came too late (stale)"
        },
    )


class WorkersSchema(Schema):
    """A page of workers, the latest started first."""

    items = fields.List(fields.Nested(WorkerSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class WorkersQuerySchema(PageSchema):
    """Which workers."""

    live = fields.Boolean()


class QueueSchema(Schema):
    """A queue as Postgres knows it."""

    name = fields.String(required=True)
    waiting = fields.Integer(required=True, metadata={"description": "attempts nobody has taken"})
    oldest = time(required=True, allow_none=True)
    running = fields.Integer(required=True)
    workers = fields.Integer(required=True, metadata={"description": "live ones that serve it"})
    slots = fields.Integer(required=True)
    free = fields.Integer(required=True)
    exact = fields.Boolean(
        required=True,
        metadata={"description": "false: of more than 50,000 attempts only so many were counted"},
    )


class QueuesSchema(Schema):
    """Every queue that has work or a live worker."""

    items = fields.List(fields.Nested(QueueSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class TimerSchema(Schema):
    """Something that falls due."""

    due_at = time(required=True)
    instance = uuid(required=True)
    step = fields.Integer(required=True, allow_none=True)
    kind = fields.String(
        required=True, validate=validate.OneOf(("wait", "timeout", "retry", "start"))
    )
    namespace = fields.String(required=True)
    reference = fields.String(required=True, allow_none=True)


class TimersSchema(Schema):
    """A page of timers, the next due first."""

    items = fields.List(fields.Nested(TimerSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class ListenerSchema(Schema):
    """A step that waits for events."""

    created_at = time(required=True)
    instance = uuid(required=True)
    step = fields.Integer(required=True)
    namespace = fields.String(required=True)
    mode = fields.String(required=True)
    filters = fields.Raw(required=True)
    correlation = fields.Raw(required=True)
    reference = fields.String(required=True, allow_none=True)


class ListenersSchema(Schema):
    """A page of listeners, the longest waiting first."""

    items = fields.List(fields.Nested(ListenerSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class DeadLetterSchema(Schema):
    """Work that gave up and waits for a person."""

    id = uuid(required=True)
    created_at = time(required=True)
    namespace = fields.String(required=True)
    instance = uuid(required=True)
    step = fields.Integer(required=True)
    reference = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "the step's task in the document; null: the step was pruned"},
    )
    kind = fields.String(required=True, allow_none=True, metadata={"description": "of the step"})
    reason = fields.String(
        required=True,
        validate=validate.OneOf(("compensation", "lost")),
        metadata={
            "description": "`compensation`: an undoing that failed;"
            " `lost`: a step whose workers were lost as often as `maxStarts` allows"
        },
    )
    error = fields.Raw(required=True)
    resolved_at = time(required=True, allow_none=True)
    resolution = fields.Raw(required=True)


class DeadLettersSchema(Schema):
    """A page of dead letters, the newest first."""

    items = fields.List(fields.Nested(DeadLetterSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class DeadLettersQuerySchema(PageSchema):
    """Which dead letters."""

    resolved = fields.Boolean()
    instance = fields.UUID()


class CompensationDecisionSchema(CommandSchema):
    """What to do about a compensation that failed."""

    step = fields.Integer(
        required=True,
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "the step that was to undo another, and failed"},
    )
    action = fields.String(required=True, validate=validate.OneOf(("retry", "resolve")))


class PlannedUndoSchema(Schema):
    """A step that a compensation would undo."""

    step = fields.Integer(required=True)
    reference = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    outcome = fields.String(required=True, allow_none=True)
    instance = uuid(
        required=True,
        allow_none=True,
        metadata={"description": "the sub-workflow's, which undoes itself and has a plan too"},
    )


class CompensationSchema(Schema):
    """What would be undone, the next first, and what was."""

    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    plan = fields.List(fields.Nested(PlannedUndoSchema), required=True)
    running = fields.List(
        fields.Nested(PlannedUndoSchema),
        required=True,
        metadata={"description": "in somebody's hands: undone as well, should they succeed"},
    )
    undone = fields.List(fields.Nested(StepSchema), required=True)


class NamespaceSchema(Schema):
    """A namespace that has workflows."""

    name = fields.String(required=True)
    workflows = fields.Integer(required=True)


class NamespacesSchema(Schema):
    """The namespaces that the key opens."""

    items = fields.List(fields.Nested(NamespaceSchema), required=True)
    next = fields.String(required=True, allow_none=True)
