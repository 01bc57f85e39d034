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


class AttemptSchema(Schema):
    """One delivery of a step to a worker."""

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
        metadata={"description": "its page in Flower, if ORCHESTRATOR_FLOWER_URL is set"},
    )


class SkippedBySchema(Schema):
    """The command by which a person skipped a step."""

    at = time(required=True)
    by = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)


class StepSchema(Schema):
    """One execution of a task within an instance."""

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
    started_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)
    retry_at = time(required=True, allow_none=True)
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
    arguments = ANY(
        required=True,
        metadata={
            "description": "evaluated arguments: `{task, args, kwargs}` of a Celery task,"
            " `{call, with}` of other calls; secrets are masked"
        },
    )
    input = ANY(required=True)
    output = ANY(required=True)
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
    attempts = fields.List(fields.Nested(AttemptSchema), required=True)


class StepsSchema(Schema):
    """A page of the execution tree, in the order of creation."""

    items = fields.List(fields.Nested(StepSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class StepsQuerySchema(PageSchema):
    """A filter of steps."""

    parent = fields.Integer(validate=validate.Range(0, 2**31 - 1))
    child = uuid_filter("the instance that the step started and awaited")
    status = CommaSeparated(STATUSES, load_default=())
