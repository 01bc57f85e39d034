"""API keys, the audit log, workers, queues, timers, listeners and namespaces."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import NAMESPACE, PageSchema, name, time, uuid

ROLES = ("viewer", "operator", "admin")


class NewKeySchema(Schema):
    """An API key to create."""

    name = name(255, required=True, metadata={"description": "its name in the audit log"})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    namespaces = fields.List(
        fields.String(metadata={"pattern": f"{NAMESPACE[:-1]}$|^\\*$"}),
        required=True,
        validate=validate.Length(1, 100),
        metadata={"description": "the namespaces that it may access; `*`: all"},
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
    """A new key with its secret."""

    key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "shown only here; null in a replayed answer"},
    )


class KeysSchema(Schema):
    """A page of keys."""

    items = fields.List(fields.Nested(KeySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class EntrySchema(Schema):
    """An entry of the audit log."""

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
    """A filter of the audit log."""

    action = fields.String(validate=validate.Length(1, 100))
    target = fields.String(validate=validate.Length(1, 600))


class WorkerSchema(Schema):
    """A worker process, from its start to its end."""

    id = uuid(required=True)
    name = fields.String(required=True)
    pid = fields.Integer(required=True)
    pool = fields.String(required=True)
    concurrency = fields.Integer(required=True)
    queues = fields.List(fields.String(), required=True)
    tasks = fields.List(fields.String(), required=True)
    free = fields.Integer(required=True, metadata={"description": "idle slots"})
    in_flight = fields.Integer(required=True, metadata={"description": "attempts in flight"})
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
            "description": "since its start: attempts claimed by message, continued locally,"
            " ended, left to their leases; refused messages; stale results"
        },
    )


class WorkersSchema(Schema):
    """A page of workers, the latest started first."""

    items = fields.List(fields.Nested(WorkerSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class WorkersQuerySchema(PageSchema):
    """A filter of workers."""

    live = fields.Boolean()


class QueueSchema(Schema):
    """A queue, as stored in Postgres."""

    name = fields.String(required=True)
    waiting = fields.Integer(required=True, metadata={"description": "unclaimed attempts"})
    oldest = time(required=True, allow_none=True)
    running = fields.Integer(required=True)
    workers = fields.Integer(required=True, metadata={"description": "live workers that serve it"})
    slots = fields.Integer(required=True)
    free = fields.Integer(required=True)
    exact = fields.Boolean(
        required=True,
        metadata={"description": "false: there are more than the 50,000 counted attempts"},
    )


class QueuesSchema(Schema):
    """Every queue that has work or a live worker."""

    items = fields.List(fields.Nested(QueueSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class TimerSchema(Schema):
    """A timer of an instance or step."""

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


class NamespaceSchema(Schema):
    """A namespace that has workflows."""

    name = fields.String(required=True)
    workflows = fields.Integer(required=True)


class NamespacesSchema(Schema):
    """The namespaces that the key may access."""

    items = fields.List(fields.Nested(NamespaceSchema), required=True)
    next = fields.String(required=True, allow_none=True)
