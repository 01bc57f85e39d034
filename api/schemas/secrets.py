"""Secrets of workflows."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import NAMESPACE, PageSchema, time


class SecretSchema(Schema):
    """A secret's value, which no answer contains."""

    value = fields.Raw(
        required=True,
        metadata={
            "type": ["string", "object", "array"],
            "description": "text, or an object of which members are read: `$secrets.db.user`;"
            " text that is a JSON object or array is read as that",
        },
    )


class SecretsQuerySchema(PageSchema):
    """The namespace of a list of secrets."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))


class NamedSecretSchema(Schema):
    """A secret without its value."""

    namespace = fields.String(required=True)
    name = fields.String(required=True)
    created_at = time(required=True)
    changed_at = time(required=True)


class SecretsSchema(Schema):
    """A page of secrets, without their values."""

    items = fields.List(fields.Nested(NamedSecretSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class RotatedSecretsSchema(Schema):
    """The result of encrypting all secrets with the newest key."""

    rotated = fields.Integer(
        required=True, metadata={"description": "number of secrets encrypted with the newest key"}
    )
    unreadable = fields.List(
        fields.List(fields.String()),
        required=True,
        metadata={"description": "`[namespace, name]` of secrets that no key can decrypt"},
    )
