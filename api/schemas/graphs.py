"""The tasks of a workflow as nested blocks."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas.common import STATUSES


def _blocks(**options: Any) -> fields.List[Any]:
    return fields.List(fields.Nested("BlockSchema"), **options)


class CaseSchema(Schema):
    """A case of a switch."""

    name = fields.String(required=True)
    when = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the default"}
    )
    then = fields.String(
        required=True,
        metadata={"description": "a task of the same list, `continue`, `exit` or `end`"},
    )


class BlockSchema(Schema):
    """A task, with the tasks inside it."""

    reference = fields.String(required=True, metadata={"description": "JSON pointer of the task"})
    name = fields.String(required=True)
    kind = fields.String(required=True)
    summary = fields.String(
        required=True, metadata={"description": "what it calls, awaits, emits or runs"}
    )
    then = fields.String(metadata={"description": "absent: `continue`"})
    body = _blocks(metadata={"description": "the tasks inside"})
    branches = fields.List(_blocks(), metadata={"description": "of a fork"})
    catch = _blocks(metadata={"description": "the tasks that handle an error"})
    cases = fields.List(fields.Nested(CaseSchema))
    undo = fields.Nested("BlockSchema", metadata={"description": "the task of its compensation"})
    quiet = fields.Boolean(metadata={"description": "the document wants it shown folded"})


class GraphSchema(Schema):
    """The tasks of a workflow version."""

    nodes = _blocks(required=True)


class InstanceGraphSchema(GraphSchema):
    """The tasks of an instance's workflow version, and how far each has come."""

    states = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(
            keys=fields.String(validate=validate.OneOf(STATUSES)), values=fields.Integer()
        ),
        required=True,
        metadata={"description": "by reference, how many steps of the task have each status"},
    )
