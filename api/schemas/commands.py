"""Commands to an instance."""

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
    """A command's reason, for the audit log."""

    reason = name(2000, least=0, allow_none=True)


class AcceptedSchema(Schema):
    """An accepted command, and the instance after it."""

    id = uuid(required=True)
    command = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    compensation = fields.String(required=True, validate=validate.OneOf(COMPENSATIONS))
    run = fields.Integer(required=True)
    decided = fields.Boolean(
        required=True,
        metadata={
            "description": "false: the instance could not be locked in time, or is large; the"
            " command waits in its inbox, and the history will show the result"
        },
    )


def _step(**options: object) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, 2**31 - 1), **options)  # type: ignore[arg-type]


class RetrySchema(CommandSchema):
    """Where a retry continues, and with which input."""

    from_ = _step(data_key="from", metadata={"description": "by default the failed step"})
    input = ANY(
        metadata={
            "description": "the step's input, instead of the recorded one: `.` and `$input` of its"
            " expressions"
        }
    )
    workflow_input = ANY(
        metadata={
            "description": "the workflow's input, instead of the first one: `$workflow.input` of"
            " later expressions"
        }
    )


class CompensateSchema(CommandSchema):
    """How far back a compensation undoes."""

    step = _step(metadata={"description": "undo the steps after this one; by default all"})


class SkipSchema(CommandSchema):
    """The step to skip, and its output."""

    step = _step(metadata={"description": "by default the failed step"})
    output = ANY()
