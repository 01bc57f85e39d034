"""What the doctor found."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import time, uuid


class FindingSchema(Schema):
    """Something that is not as it should be, or worth knowing."""

    kind = fields.String(required=True, metadata={"description": "the check that found it"})
    severity = fields.String(
        required=True,
        validate=validate.OneOf(("error", "warning", "note")),
        metadata={
            "description": "`error`: a needed part is missing; `warning`: work is lost, stuck or"
            " misrouted; `note`: not wrong by itself"
        },
    )
    message = fields.String(required=True)
    advice = fields.String(
        required=True, allow_none=True, metadata={"description": "what to do, with its command"}
    )
    instance = uuid(required=True, allow_none=True)
    business_id = fields.String(required=True, allow_none=True)
    step = fields.Integer(required=True, allow_none=True)


class PassedSchema(Schema):
    """A check that found everything right."""

    kind = fields.String(required=True)
    message = fields.String(required=True)


class DoctorSchema(Schema):
    """The findings of an examination, and what is right."""

    checked_at = time(required=True)
    findings = fields.List(fields.Nested(FindingSchema), required=True)
    passed = fields.List(fields.Nested(PassedSchema), required=True)
