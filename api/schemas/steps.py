"""The execution tree of an instance."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import (
    ANY,
    STATUSES,
    CommaSeparated,
    PageSchema,
    time,
    uuid,
    uuid_filter,
)


class LateSchema(Schema):
    """A result that was refused because the attempt had ended before."""

    at = time(required=True)
    state = fields.String(required=True, validate=validate.OneOf(("succeeded", "failed")))


class LossReasonSchema(Schema):
    """Why an attempt ended without a result of its task."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(("lease", "child-exit", "limit")),
        metadata={
            "description": "`lease`: its worker was silent for a lease; `child-exit`: the worker"
            " reported that the process ended; `limit`: stopped at its time limit"
        },
    )
    signal = fields.String(required=True, allow_none=True)
    exit = fields.Integer(required=True, allow_none=True)


class AttemptSummarySchema(Schema):
    """One delivery of a step to a worker, without what its task wrote."""

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
    error = ANY(required=True)
    because = fields.Nested(LossReasonSchema, required=True, allow_none=True)
    late = fields.Nested(LateSchema, required=True, allow_none=True)
    flower_url = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "its page in Flower, if ORCHESTRATOR_FLOWER_URL is set"},
    )


class AttemptSchema(AttemptSummarySchema):
    """One delivery of a step to a worker."""

    progress = ANY(required=True)
    traceback = fields.String(required=True, allow_none=True)


class SkippedBySchema(Schema):
    """The command by which a person skipped a step."""

    at = time(required=True)
    by = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)


class StepSummarySchema(Schema):
    """One execution of a task within an instance, without what was written in it. Details of errors
    are cut after 300 characters."""

    id = fields.Integer(required=True, metadata={"description": "number in the order of creation"})
    parent = fields.Integer(
        required=True, metadata={"description": "the step that contains it; 0: the workflow"}
    )
    reference = fields.String(required=True, metadata={"description": "JSON pointer of the task"})
    name = fields.String(required=True)
    kind = fields.String(required=True)
    index = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "number of iteration or branch"},
    )
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": ("`unknown`: the task ran, or may have run, without a recorded result")
        },
    )
    compensable = fields.Boolean(required=True)
    compensates = fields.Integer(
        required=True, allow_none=True, metadata={"description": "the step that this step undoes"}
    )
    undone_by = fields.Integer(
        required=True, allow_none=True, metadata={"description": "the newest step that undoes it"}
    )
    idempotency_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "of a call: the same for every attempt"},
    )
    started_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)
    retry_at = time(required=True, allow_none=True)
    can_retry_now = fields.Boolean(
        required=True, metadata={"description": "whether `.../retry-now` ends its pause"}
    )
    child = uuid(
        required=True,
        allow_none=True,
        metadata={"description": "the instance of the sub-workflow that it started or undoes"},
    )
    skipped = fields.Nested(
        SkippedBySchema,
        required=True,
        allow_none=True,
        metadata={"description": "the command that skipped it"},
    )
    error = ANY(required=True)
    recorded = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(("succeeded", "failed", "lost")),
        metadata={
            "description": "how its attempt ended while the instance was suspended: the step"
            " continues with that result after a resume"
        },
    )
    attempts = fields.List(fields.Nested(AttemptSummarySchema), required=True)


class StepSchema(StepSummarySchema):
    """One execution of a task within an instance."""

    arguments = ANY(
        required=True,
        metadata={
            "description": "evaluated arguments: `{task, args, kwargs}` of a Celery task,"
            " `{call, with}` of other calls; secrets are masked"
        },
    )
    input = ANY(required=True)
    output = ANY(required=True)
    attempts = fields.List(fields.Nested(AttemptSchema), required=True)


class StepSummariesSchema(Schema):
    """A page of the execution tree, in the order of creation."""

    items = fields.List(fields.Nested(StepSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True)
    sequence = fields.Integer(
        required=True, metadata={"description": "the number of the instance's last transition"}
    )


class StepsSchema(StepSummariesSchema):
    """A page of the execution tree, in the order of creation."""

    items = fields.List(fields.Nested(StepSchema), required=True)


#: The answer to a list of steps, by `fields`.
STEPS = {"anyOf": [StepsSchema, StepSummariesSchema]}


class StepsQuerySchema(PageSchema):
    """A filter of steps."""

    parent = fields.Integer(validate=validate.Range(0, 2**31 - 1))
    child = uuid_filter("the instance that the step started and awaited")
    status = CommaSeparated(STATUSES, load_default=())
    fields_ = fields.String(
        data_key="fields",
        load_default="all",
        validate=validate.OneOf(("all", "summary")),
        metadata={
            "description": "`summary`: no arguments, inputs, outputs, progress and tracebacks"
        },
    )
    since = fields.Integer(
        validate=validate.Range(0, 2**31 - 1),
        metadata={
            "description": "`sequence` of an earlier answer: only the steps that may have changed"
            " since"
        },
    )
