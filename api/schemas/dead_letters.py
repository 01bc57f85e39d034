"""Dead letters and compensations."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.commands import CommandSchema
from api.schemas.common import COMPENSATIONS, PageSchema, time, uuid
from api.schemas.steps import StepSchema


class DeadLetterSchema(Schema):
    """A compensation, step or start that failed for good and waits for a person."""

    id = uuid(required=True)
    created_at = time(required=True)
    namespace = fields.String(required=True)
    instance = uuid(required=True)
    step = fields.Integer(required=True)
    reference = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "JSON pointer of the step's task; null: the step was pruned"},
    )
    kind = fields.String(
        required=True, allow_none=True, metadata={"description": "kind of the step"}
    )
    reason = fields.String(
        required=True,
        validate=validate.OneOf(("compensation", "lost", "undecided", "start")),
        metadata={
            "description": "`compensation`: a failed compensation;"
            " `lost`: a step with as many lost attempts as `maxStarts` allows;"
            " `undecided`: a transition that cannot be decided;"
            " `start`: a refused start from another application's transaction. It has no instance:"
            " `instance` is the id that the application was given, `step` is 0"
        },
    )
    error = fields.Raw(required=True)
    resolved_at = time(required=True, allow_none=True)
    resolution = fields.Raw(required=True)
    request = fields.Raw(
        metadata={
            "description": "only of a single one: the request of a refused start, null of others"
        }
    )


class DeadLettersSchema(Schema):
    """A page of dead letters, the newest first."""

    items = fields.List(fields.Nested(DeadLetterSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class DeadLettersQuerySchema(PageSchema):
    """A filter of dead letters."""

    resolved = fields.Boolean()
    instance = fields.UUID()


class CompensationDecisionSchema(CommandSchema):
    """A person's decision about a failed compensation."""

    step = fields.Integer(
        required=True,
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "the compensation's own step, which failed"},
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
        metadata={"description": "instance of the sub-workflow, which has a plan of its own"},
    )


class CompensationSchema(Schema):
    """The steps that a compensation would undo, the next first, and the undone ones."""

    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    plan = fields.List(fields.Nested(PlannedUndoSchema), required=True)
    running = fields.List(
        fields.Nested(PlannedUndoSchema),
        required=True,
        metadata={"description": "running steps, which are undone as well if they succeed"},
    )
    undone = fields.List(fields.Nested(StepSchema), required=True)
