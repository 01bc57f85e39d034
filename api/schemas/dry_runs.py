"""What a command would do."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import COMPENSATIONS, STATUSES, uuid


class CommandQuerySchema(Schema):
    """Whether a command is only tried."""

    dry_run = fields.Boolean(
        load_default=False,
        metadata={"description": "decide the command, answer what it would do, and change nothing"},
    )


class KeptStepSchema(Schema):
    """A completed step that stays as it is."""

    step = fields.Integer(required=True)
    name = fields.String(required=True)
    reference = fields.String(required=True)


class PlannedStepSchema(Schema):
    """A task that runs, or a step that ends."""

    step = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "the step that runs again; null: a task that has not run yet"},
    )
    name = fields.String(required=True)
    reference = fields.String(required=True)
    note = fields.String(required=True, allow_none=True)


class UndoneStepSchema(KeptStepSchema):
    """A step that is undone."""

    instance = uuid(
        required=True,
        allow_none=True,
        metadata={"description": "the sub-workflow that undoes itself"},
    )


class BecomesSchema(Schema):
    """The instance right after the command."""

    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    run = fields.Integer(required=True)


class CommandPlanSchema(Schema):
    """What a command would do. The answer's `ETag` is that of the instance: with it as `If-Match`
    the command does this or nothing."""

    keeps = fields.List(fields.Nested(KeptStepSchema), required=True)
    runs = fields.List(
        fields.Nested(PlannedStepSchema),
        required=True,
        metadata={"description": "what starts at once; what follows, the workflow decides"},
    )
    undoes = fields.List(
        fields.Nested(UndoneStepSchema),
        required=True,
        metadata={"description": "in the order in which it is undone"},
    )
    becomes = fields.Nested(
        BecomesSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null: a control worker would decide it later"},
    )
    warnings = fields.List(fields.String(), required=True)
