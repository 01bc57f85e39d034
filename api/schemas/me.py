"""Who asks."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import time


class LinksSchema(Schema):
    """Pages of other programs."""

    flower = fields.String(required=True, allow_none=True)


class MeSchema(Schema):
    """The caller of a request."""

    name = fields.String(required=True, metadata={"description": "as the audit log has it"})
    role = fields.String(required=True, validate=validate.OneOf(("viewer", "operator", "admin")))
    namespaces = fields.List(
        fields.String(), required=True, allow_none=True, metadata={"description": "null: all"}
    )
    authentication = fields.String(
        required=True,
        validate=validate.OneOf(("off", "key", "session")),
        metadata={"description": "`off`: nobody needs a key"},
    )
    expires_at = time(
        required=True, allow_none=True, metadata={"description": "of the key or the session"}
    )
    version = fields.String(required=True, allow_none=True)
    links = fields.Nested(LinksSchema, required=True)
