"""Secrets of workflows."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import NAMESPACE, PageSchema, time


class SecretSchema(Schema):
    """A secret's value; it never comes back."""

    value = fields.Raw(
        required=True,
        metadata={
            "type": ["string", "object", "array"],
            "description": "text, or an object whose members are told apart: `$secrets.db.user`;"
            " text that is a JSON object or array counts as that",
        },
    )


class SecretsQuerySchema(PageSchema):
    """Of which namespace."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))


class NamedSecretSchema(Schema):
    """What may be known of a secret."""

    namespace = fields.String(required=True)
    name = fields.String(required=True)
    created_at = time(required=True)
    changed_at = time(required=True)


class SecretsSchema(Schema):
    """A page of secrets' names."""

    items = fields.List(fields.Nested(NamedSecretSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class RotatedSecretsSchema(Schema):
    """How many secrets were sealed anew."""

    renewed = fields.Integer(required=True)
    unreadable = fields.List(
        fields.List(fields.String()),
        required=True,
        metadata={"description": "`[namespace, name]` of those that no key opens"},
    )
