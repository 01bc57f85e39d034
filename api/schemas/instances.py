"""Instances: starts, single instances and lists."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import (
    ANY,
    COMPENSATIONS,
    NAMESPACE,
    PRINTABLE,
    STATUSES,
    CommaSeparated,
    CommaSeparatedTexts,
    Moment,
    PageSchema,
    name,
    time,
    uuid,
    uuid_filter,
)
from api.schemas.wait_reasons import KINDS
from orchestrator.database.instances.attention_filters import ATTENTION, WAITING_FOR

#: An id, and the beginning of one, as patterns of JSON Schema.
_BEGINNING = (
    "^[0-9a-fA-F]{1,8}$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){0,2}-[0-9a-fA-F]{0,4}$"
    "|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{0,12}$"
)


class WorkflowRefSchema(Schema):
    """The workflow to start; without `version` its newest one."""

    namespace = fields.String(required=True, validate=validate.Length(1, 255))
    name = fields.String(required=True, validate=validate.Length(1, 255))
    version = fields.String(validate=validate.Length(1, 255))


class StartSchema(Schema):
    """An instance to start."""

    workflow = fields.Nested(WorkflowRefSchema, required=True)
    input = ANY(metadata={"description": "any JSON; checked by the workflow's input schema"})
    business_id = name(
        1000,
        metadata={"description": "the client's id, unique in the namespace"},
        allow_none=True,
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
    """The step that started an instance and awaits it, or has awaited it."""

    instance = uuid(required=True)
    step = fields.Integer(required=True)


class InstanceSummarySchema(Schema):
    """An instance without its payloads."""

    id = uuid(required=True)
    business_id = fields.String(required=True, allow_none=True)
    workflow = fields.Nested(WorkflowOfSchema, required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    run = fields.Integer(
        required=True, metadata={"description": "1 plus the retries of the instance"}
    )
    labels = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    created_at = time(required=True)
    started_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)
    pending_commands = fields.Integer(
        required=True,
        metadata={
            "description": "undecided commands; until they are decided the instance is not final"
        },
    )
    parent = fields.Nested(ParentSchema, required=True, allow_none=True)


class WaitingSchema(Schema):
    """A call, timer or event that an instance waits for."""

    kind = fields.String(
        required=True,
        metadata={"description": "`call`, `timer`, `event`, or the kind of another open step"},
    )
    step = fields.Integer(required=True, allow_none=True)
    reference = fields.String(required=True, allow_none=True)
    since = time(required=True, allow_none=True)
    timer = fields.String(metadata={"description": "`wait`, `retry` or `start`"})
    due_at = time()
    mode = fields.String(metadata={"description": "which of the events: `one`, `any`, `all`"})
    filters = ANY(metadata={"description": "filters of the awaited events"})


class InstanceSchema(InstanceSummarySchema):
    """One execution of a workflow version."""

    input = ANY(required=True)
    output = ANY(required=True)
    error = ANY(
        required=True, metadata={"description": "`{type, status, title, detail, instance}`"}
    )
    context = ANY(required=True)
    waiting_for = fields.List(fields.Nested(WaitingSchema), required=True)
    steps = fields.List(
        fields.Nested("CurrentStepSchema"), metadata={"description": "as in a list of instances"}
    )
    why = fields.Nested(
        "ShortCauseSchema", allow_none=True, metadata={"description": "as in a list of instances"}
    )
    changed_at = time(allow_none=True)


#: The answer to a start: of one instance, of an awaited one, of several.
STARTED = {
    "anyOf": [
        InstanceSummarySchema,
        InstanceSchema,
        {"type": "array", "items": InstanceSummarySchema},
    ]
}


class CurrentStepSchema(Schema):
    """An open step without open steps inside it."""

    step = fields.Integer(required=True)
    name = fields.String(required=True)
    reference = fields.String(required=True)
    attempt = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "number of the try; that of the `try` around it, if there is one"},
    )
    max = fields.Integer(
        required=True, allow_none=True, metadata={"description": "most tries, if they are bounded"}
    )
    retry_at = time(required=True, allow_none=True)


class ShortCauseSchema(Schema):
    """The most urgent cause of an instance's waiting, or how it ended."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    message = fields.String(required=True)
    tone = fields.String(
        required=True,
        validate=validate.OneOf(("calm", "soon", "alarm")),
        metadata={"description": "`soon`: changes by itself; `alarm`: a person must act"},
    )
    until = time(required=True, allow_none=True)
    step = fields.Integer(required=True, allow_none=True)
    more = fields.Integer(required=True, metadata={"description": "how many other causes"})


class ShortErrorSchema(Schema):
    """An error without its data; its detail is cut after 300 characters."""

    type = fields.String(required=True, allow_none=True)
    title = fields.String(required=True, allow_none=True)
    status = fields.Integer(required=True, allow_none=True)
    detail = fields.String(required=True, allow_none=True)
    instance = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "reference of the task that raised it"},
    )


class ListedInstanceSchema(InstanceSummarySchema):
    """An instance of a list: where it stands, and why."""

    steps = fields.List(
        fields.Nested(CurrentStepSchema),
        required=True,
        metadata={"description": "the current steps, at most 3, in the order of creation"},
    )
    why = fields.Nested(ShortCauseSchema, required=True, allow_none=True)
    error = fields.Nested(ShortErrorSchema, required=True, allow_none=True)
    changed_at = time(
        required=True, allow_none=True, metadata={"description": "of its last transition"}
    )


class InstancesSchema(Schema):
    """A page of instances."""

    items = fields.List(fields.Nested(ListedInstanceSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class WaitSchema(Schema):
    """The time to wait for the end."""

    wait = fields.Float(
        load_default=0,
        validate=validate.Range(0, 60),
        metadata={"description": "most seconds to wait for the end"},
    )


class InstancesFilterSchema(Schema):
    """A filter of instances. `label.key=value` and `input.path=value` are also accepted."""

    #: Makes the parser accept label and input filters.
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
    attempt = uuid_filter("id of one of its attempts, which is the Celery task id")
    parent = uuid_filter("the instance that started and awaited them")
    started_after = Moment()
    started_before = Moment()
    attention = CommaSeparated(
        ("any", *ATTENTION),
        load_default=(),
        metadata={
            "description": "one of these holds: `stuck` (nothing goes on without a person, here or"
            " in a sub-workflow), `dead_letter` (an open one), `outcome_unknown` (of a step),"
            " `held` (faulted, and nothing was undone), `retrying`"
        },
    )
    waiting_for = CommaSeparated(
        tuple(WAITING_FOR),
        load_default=(),
        metadata={"description": "one of these is awaited; `task`: a worker's result"},
    )
    error_types = CommaSeparatedTexts(
        data_key="error.type",
        load_default=(),
        metadata={"description": "`type` of the instance's error: one of these"},
    )
    q = fields.String(
        validate=validate.Length(1, 255),
        metadata={"description": "the beginning of an id or business_id, or a workflow's name"},
    )


class InstancesQuerySchema(InstancesFilterSchema, PageSchema):
    """A filter of instances, and their order."""

    sort = fields.String(
        load_default="-created_at",
        validate=validate.OneOf(
            ("created_at", "-created_at", "started_at", "-started_at", "attention")
        ),
        metadata={
            "description": "`started_at` lists only started instances; `attention`: those first"
            " that have any, the newest first among these and among the others"
        },
    )


#: The facets of lists of instances.
FACETS = ("attention", "waiting_for", "compensation", "workflow", "error")


class CountsQuerySchema(InstancesFilterSchema):
    """A filter of instances, and what to count besides their statuses."""

    facets = CommaSeparated(FACETS, load_default=())


class FacetSchema(Schema):
    """The number of instances with a value of a facet."""

    value = fields.String(
        required=True,
        metadata={"description": "as the filter takes it; of an error, its type"},
    )
    title = fields.String(metadata={"description": "of an error"})
    count = fields.Integer(required=True)
    exact = fields.Boolean(required=True)


class CountSchema(Schema):
    """The number of instances of a status."""

    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    count = fields.Integer(required=True)
    exact = fields.Boolean(
        required=True,
        metadata={"description": "false: there are more than were counted"},
    )


class CountsSchema(Schema):
    """The number of instances of each status."""

    items = fields.List(fields.Nested(CountSchema), required=True)
    facets = fields.Dict(
        keys=fields.String(validate=validate.OneOf(FACETS)),
        values=fields.List(fields.Nested(FacetSchema)),
        metadata={
            "description": "those that were requested; each ignores the filter of its own name"
        },
    )
