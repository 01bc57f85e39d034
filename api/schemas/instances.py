"""Instances, their steps and their history."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import (
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

ANY = fields.Raw


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


class AttemptSchema(Schema):
    """One handing-off of a step to a worker."""

    id = uuid(required=True)
    number = fields.Integer(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(("ready", "claimed", "succeeded", "failed", "lost", "withdrawn")),
    )
    withdrawn = fields.Boolean(required=True)
    task = fields.String(required=True, metadata={"description": "the Celery task that runs it"})
    queue = fields.String(required=True)
    priority = fields.Integer(required=True, allow_none=True)
    worker = fields.String(required=True, allow_none=True)
    worker_id = uuid(required=True, allow_none=True)
    process = fields.Integer(required=True, allow_none=True)
    created_at = time(required=True)
    published_at = time(required=True, allow_none=True)
    claimed_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)
    progress = ANY(required=True)
    error = ANY(required=True)
    traceback = fields.String(required=True, allow_none=True)
    flower_url = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "its page in Flower, where ORCHESTRATOR_FLOWER_URL says where"},
    )


class StepSchema(Schema):
    """One execution of a task within an instance."""

    id = fields.Integer(required=True, metadata={"description": "grows with the order of creation"})
    parent = fields.Integer(
        required=True, metadata={"description": "the step that contains it; 0: the workflow"}
    )
    reference = fields.String(required=True, metadata={"description": "JSON pointer of the task"})
    name = fields.String(required=True)
    kind = fields.String(required=True)
    index = fields.Integer(
        required=True, allow_none=True, metadata={"description": "which iteration or branch"}
    )
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`unknown` where nobody can say whether its effects happened"},
    )
    compensable = fields.Boolean(required=True)
    compensates = fields.Integer(
        required=True, allow_none=True, metadata={"description": "the step that this one undoes"}
    )
    started_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)
    retry_at = time(required=True, allow_none=True)
    input = ANY(required=True)
    output = ANY(required=True)
    error = ANY(required=True)
    attempts = fields.List(fields.Nested(AttemptSchema), required=True)


class StepsSchema(Schema):
    """A page of the execution tree, in the order of creation."""

    items = fields.List(fields.Nested(StepSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class StepsQuerySchema(PageSchema):
    """Which steps."""

    parent = fields.Integer(validate=validate.Range(0, 2**31 - 1))
    status = CommaSeparated(STATUSES, load_default=())


class FactSchema(Schema):
    """One thing that happened, in the past tense."""

    type = fields.String(
        required=True, metadata={"description": "such as `task.completed` (DSL, Lifecycle Events)"}
    )
    step = fields.Integer(required=True, allow_none=True)
    data = ANY(required=True)


class TransitionSchema(Schema):
    """One committed change of an instance."""

    sequence = fields.Integer(required=True)
    at = time(required=True)
    stimulus = ANY(required=True, metadata={"description": "what caused it"})
    facts = fields.List(fields.Nested(FactSchema), required=True)


class HistorySchema(Schema):
    """A page of the history."""

    items = fields.List(fields.Nested(TransitionSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class HistoryQuerySchema(PageSchema):
    """Which part of the history."""

    sort = fields.String(
        load_default="sequence", validate=validate.OneOf(("sequence", "-sequence"))
    )


class CommandSchema(Schema):
    """Why, and by whom it was asked for."""

    reason = name(2000, least=0, allow_none=True)


class AcceptedSchema(Schema):
    """A command that stands in the instance's inbox."""

    id = uuid(required=True)
    command = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    run = fields.Integer(required=True)


def _step(**options: object) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, 2**31 - 1), **options)  # type: ignore[arg-type]


class RetrySchema(CommandSchema):
    """Where to go on from, and with what."""

    from_ = _step(data_key="from", metadata={"description": "the step; else the one that failed"})
    input = ANY(metadata={"description": "the step's input, instead of the recorded one"})


class CompensateSchema(CommandSchema):
    """How far back to undo."""

    step = _step(
        metadata={"description": "undo back to this step, which itself stands; else everything"}
    )


class SkipSchema(CommandSchema):
    """Which step to skip, and what its output shall be."""

    step = _step(metadata={"description": "the step; else the one that failed"})
    output = ANY()
