"""The history of an instance."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import (
    ANY,
    PageSchema,
    time,
)


class FactSchema(Schema):
    """One thing that a transition did."""

    type = fields.String(
        required=True, metadata={"description": "such as `task.completed` (DSL, Lifecycle Events)"}
    )
    step = fields.Integer(required=True, allow_none=True)
    data = ANY(required=True)


class TransitionSchema(Schema):
    """One committed change of an instance."""

    sequence = fields.Integer(required=True)
    at = time(required=True)
    stimulus = ANY(required=True, metadata={"description": "its cause"})
    facts = fields.List(fields.Nested(FactSchema), required=True)


class HistorySchema(Schema):
    """A page of the history."""

    items = fields.List(fields.Nested(TransitionSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class HistoryQuerySchema(PageSchema):
    """The order of the history."""

    sort = fields.String(
        load_default="sequence", validate=validate.OneOf(("sequence", "-sequence"))
    )
