"""Bulk operations on instances or dead letters."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.commands import CommandSchema
from api.schemas.common import NAMESPACE, CommaSeparated, PageSchema, time, uuid
from orchestrator.database.operations.bulk_operation_queries import (
    ALLOWED,
    LETTERS,
    MOST_COUNTED,
    STATES,
)
from orchestrator.database.operations.operation_outcomes import OUTCOMES

ACTIONS = (*ALLOWED, *LETTERS)
_COUNTED = f"counted up to {MOST_COUNTED:,}"


class DeadLettersFilterSchema(Schema):
    """A filter of open dead letters."""

    instance = fields.UUID()
    namespace = fields.String(validate=validate.Regexp(NAMESPACE))


class NewOperationSchema(CommandSchema):
    """A command to all instances or dead letters that a filter selects."""

    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))
    filter = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=validate.Length(max=1000)),
        required=True,
        metadata={
            "minProperties": 1,
            "maxProperties": 32,
            "description": "the parameters of `GET /v1/instances` with their texts, such as"
            ' `{"status": "running", "workflow": "shop/order", "label.team": "a"}`;'
            " `instance` and `namespace` for dead letters",
        },
    )
    dry_run = fields.Boolean(
        metadata={"description": "only count what it would reach, and show the first ones"}
    )


class OperationSchema(Schema):
    """A bulk operation and its progress."""

    id = uuid(required=True)
    action = fields.String(required=True)
    filter = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    namespaces = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "namespaces whose instances it may reach; null: all"},
    )
    reason = fields.String(required=True, allow_none=True)
    by = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    matches = fields.Integer(
        required=True,
        metadata={"description": f"how many it selected when it was requested, {_COUNTED}"},
    )
    reached = fields.Integer(required=True, metadata={"description": "how many it has reached"})
    error = fields.String(required=True, allow_none=True)
    created_at = time(required=True)
    started_at = time(required=True, allow_none=True)
    ended_at = time(required=True, allow_none=True)


class OutcomeCountsSchema(Schema):
    """How many of the reached instances have each outcome."""

    moved = fields.Integer(required=True, metadata={"description": "the command took effect"})
    faulted_again = fields.Integer(
        required=True, metadata={"description": "retried, and faulted now"}
    )
    refused = fields.Integer(
        required=True, metadata={"description": "their status had changed meanwhile"}
    )
    pending = fields.Integer(
        required=True, metadata={"description": "the command is in their inbox"}
    )
    gone = fields.Integer(required=True, metadata={"description": "archived meanwhile"})
    exact = fields.Boolean(
        required=True, metadata={"description": "false: only the first 2,000 are counted"}
    )


class OperationDetailsSchema(OperationSchema):
    """A bulk operation, its progress, and what became of the instances."""

    outcomes = fields.Nested(
        OutcomeCountsSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null: it acts on dead letters"},
    )


class OutcomeSchema(Schema):
    """An instance that an operation has reached."""

    instance = uuid(required=True)
    business_id = fields.String(required=True, allow_none=True)
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "why it refused the command"}
    )
    status = fields.String(
        required=True, allow_none=True, metadata={"description": "its status now"}
    )
    compensation = fields.String(required=True, allow_none=True)


class OutcomesSchema(Schema):
    """A page of outcomes, in the order in which the instances were reached."""

    items = fields.List(fields.Nested(OutcomeSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class DryRunSchema(Schema):
    """The instances or dead letters that a bulk operation would reach."""

    action = fields.String(required=True)
    matches = fields.Integer(required=True, metadata={"description": _COUNTED})
    sample = fields.Raw(
        required=True,
        metadata={
            "type": "array",
            "description": "the first ones: instances or dead letters",
        },
    )


class OperationsSchema(Schema):
    """A page of bulk operations, the newest first."""

    items = fields.List(fields.Nested(OperationSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class OperationsQuerySchema(PageSchema):
    """A filter of bulk operations."""

    state = CommaSeparated(STATES, load_default=())
