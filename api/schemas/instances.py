"""Instances: their start, one of them, lists of them."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import (
    ANY,
    COMPENSATIONS,
    NAMESPACE,
    PRINTABLE,
    STATUSES,
    CommaSeparated,
    Moment,
    PageSchema,
    name,
    time,
    uuid,
)

#: An id, and the beginning of one, as patterns of JSON Schema know them.
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_BEGINNING = (
    "^[0-9a-fA-F]{1,8}$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){0,2}-[0-9a-fA-F]{0,4}$"
    "|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{0,12}$"
)


class WorkflowRefSchema(Schema):
    """The workflow to start; its newest version unless one is named."""

    namespace = fields.String(required=True, validate=validate.Length(1, 255))
    name = fields.String(required=True, validate=validate.Length(1, 255))
    version = fields.String(validate=validate.Length(1, 255))


class StartSchema(Schema):
    """An instance to start."""

    workflow = fields.Nested(WorkflowRefSchema, required=True)
    input = ANY(metadata={"description": "any JSON; checked by the workflow's input schema"})
    business_id = name(
        1000, metadata={"description": "your own id, unique in the namespace"}, allow_none=True
    )
    labels = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=validate.Length(max=255), metadata={"pattern": PRINTABLE}),
        metadata={"maxProperties": 64, "description": "for filters: `label.key=value`"},
        allow_none=True,
    )
    start_at = fields.String(
        metadata={"format": "date-time", "description": "not before this time"}, allow_none=True
    )


class WorkflowOfSchema(Schema):
    """The version that an instance runs."""

    namespace = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True)


class ParentSchema(Schema):
    """The step that awaits an instance, or has awaited it."""

    instance = uuid(required=True)
    step = fields.Integer(required=True)


class InstanceSummarySchema(Schema):
    """An instance without its payloads."""

    id = uuid(required=True)
    business_id = fields.String(required=True, allow_none=True)
    workflow = fields.Nested(WorkflowOfSchema, required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    run = fields.Integer(required=True, metadata={"description": "counts operators' retries"})
    labels = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    created_at = time(required=True)
    started_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)
    pending_commands = fields.Integer(
        required=True,
        metadata={"description": "commands that wait to be judged; until then nothing is settled"},
    )
    parent = fields.Nested(ParentSchema, required=True, allow_none=True)


class WaitingSchema(Schema):
    """Something that an instance waits for."""

    kind = fields.String(
        required=True,
        metadata={"description": "`call`, `timer`, `event`, or the kind of another open task"},
    )
    step = fields.Integer(required=True, allow_none=True)
    reference = fields.String(required=True, allow_none=True)
    since = time(required=True, allow_none=True)
    timer = fields.String(metadata={"description": "`wait`, `retry` or `start`"})
    due_at = time()
    mode = fields.String(metadata={"description": "how many of the events: one, any, all"})
    filters = ANY(metadata={"description": "the events that are waited for"})


class InstanceSchema(InstanceSummarySchema):
    """One run of a workflow."""

    input = ANY(required=True)
    output = ANY(required=True)
    error = ANY(
        required=True, metadata={"description": "`{type, status, title, detail, instance}`"}
    )
    context = ANY(required=True)
    waiting_for = fields.List(fields.Nested(WaitingSchema), required=True)


#: The answer to a start: of one, of one waited for, of many.
STARTED = {
    "anyOf": [
        InstanceSummarySchema,
        InstanceSchema,
        {"type": "array", "items": InstanceSummarySchema},
    ]
}


class InstancesSchema(Schema):
    """A page of instances."""

    items = fields.List(fields.Nested(InstanceSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class WaitSchema(Schema):
    """How long to wait for the end."""

    wait = fields.Float(
        load_default=0,
        validate=validate.Range(0, 60),
        metadata={"description": "seconds to wait for the end, at most"},
    )


class InstancesFilterSchema(Schema):
    """Which instances. `label.key=value` and `input.path=value` may be given besides."""

    #: Tells the parser to gather the parameters with names of the client's own.
    labelled = True

    status = CommaSeparated(STATUSES, load_default=())
    compensation = CommaSeparated(COMPENSATIONS, load_default=())
    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    workflow = fields.String(
        validate=[validate.Length(1, 600), validate.Regexp("^[^/]+(/[^/]+){0,2}$")],
        metadata={"description": "`name`, `namespace/name` or `namespace/name/version`"},
    )
    business_id = fields.String(validate=validate.Length(1, 1000))
    id = fields.String(
        validate=validate.Regexp(_BEGINNING),
        metadata={"description": "an id or its beginning"},
    )
    attempt = fields.String(
        validate=validate.Regexp(_UUID),
        metadata={"description": "the id of one of its attempts: of a Celery task"},
    )
    parent = uuid(metadata={"description": "the instance that has started them and awaited them"})
    started_after = Moment()
    started_before = Moment()
    q = fields.String(
        validate=validate.Length(1, 255),
        metadata={"description": "the beginning of an id or business_id, or a workflow's name"},
    )


class InstancesQuerySchema(InstancesFilterSchema, PageSchema):
    """Which instances, and in what order."""

    sort = fields.String(
        load_default="-created_at",
        validate=validate.OneOf(("created_at", "-created_at", "started_at", "-started_at")),
        metadata={"description": "by `started_at` only those that have started are listed"},
    )


class CountSchema(Schema):
    """How many instances have a status."""

    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    count = fields.Integer(required=True)
    exact = fields.Boolean(
        required=True,
        metadata={"description": "false: there are more, but no more are counted"},
    )


class CountsSchema(Schema):
    """How many instances have each status."""

    items = fields.List(fields.Nested(CountSchema), required=True)
