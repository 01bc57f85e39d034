"""What people tell an instance."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import (
    ANY,
    COMPENSATIONS,
    STATUSES,
    name,
    uuid,
)


class CommandSchema(Schema):
    """Why, and by whom it was asked for."""

    reason = name(2000, least=0, allow_none=True)


class AcceptedSchema(Schema):
    """A command that was taken, and the instance after it."""

    id = uuid(required=True)
    command = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    run = fields.Integer(required=True)
    decided = fields.Boolean(
        required=True,
        metadata={
            "description": "false: the instance could not be locked in time, or is large; the"
            " command waits in its inbox, and its history will say what came of it"
        },
    )


def _step(**options: object) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, 2**31 - 1), **options)  # type: ignore[arg-type]


class RetrySchema(CommandSchema):
    """Where to go on from, and with what."""

    from_ = _step(data_key="from", metadata={"description": "the step; else the one that failed"})
    input = ANY(
        metadata={
            "description": "the step's input, instead of the recorded one: what its expressions"
            " read as `.` and `$input`"
        }
    )
    workflow_input = ANY(
        metadata={
            "description": "the workflow's input, instead of the one it was started with: what"
            " expressions read as `$workflow.input` from then on"
        }
    )


class CompensateSchema(CommandSchema):
    """How far back to undo."""

    step = _step(
        metadata={"description": "undo back to this step, which itself stands; else everything"}
    )


class SkipSchema(CommandSchema):
    """Which step to skip, and what its output shall be."""

    step = _step(metadata={"description": "the step; else the one that failed"})
    output = ANY()
