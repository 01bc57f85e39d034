"""Pieces that several resources share."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from api.schemas.timestamps import in_utc

#: No control, zero-width or direction-changing characters: what is seen is what is there.
PRINTABLE = (
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$"
)
NAMESPACE = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

STATUSES = ("pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed")
COMPENSATIONS = ("none", "running", "completed", "failed")

#: Any JSON value.
ANY = fields.Raw


def name(most: int = 255, least: int = 1, **options: Any) -> fields.String:
    """Text that people read: bounded, without invisible characters."""
    metadata = {"pattern": PRINTABLE, **options.pop("metadata", {})}
    return fields.String(validate=validate.Length(least, most), metadata=metadata, **options)


def uuid(**options: Any) -> fields.String:
    """An id of ours."""
    return fields.String(metadata={"format": "uuid", **options.pop("metadata", {})}, **options)


def time(**options: Any) -> fields.String:
    """A time, RFC 3339."""
    return fields.String(metadata={"format": "date-time", **options.pop("metadata", {})}, **options)


class CommaSeparated(fields.String):
    """``a,b`` in a query: a list of values, all among the choices."""

    def __init__(self, choices: tuple[str, ...], **options: Any) -> None:
        pattern = f"^({'|'.join(choices)})(,({'|'.join(choices)}))*$"
        super().__init__(metadata={"pattern": pattern}, **options)
        self.choices = choices

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        found = super()._deserialize(value, attr, data, **kwargs).split(",")
        unknown = [each for each in found if each not in self.choices]
        if unknown:
            known = ", ".join(self.choices)
            raise ValidationError(f"{unknown[0][:50]!r} is not one of {known}")
        return found


class Moment(fields.AwareDateTime):
    """A time in a query, in UTC."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return in_utc(super()._deserialize(value, attr, data, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class PageSchema(Schema):
    """How much of a list, and from where."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 1000))
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(max=2000),
        metadata={"description": "the `next` of the page before"},
    )


class ErrorItemSchema(Schema):
    """One thing that is wrong with a request."""

    message = fields.String(required=True)
    pointer = fields.String(
        allow_none=True, metadata={"description": "where in the body (RFC 6901)"}
    )
    parameter = fields.String(metadata={"description": "which parameter of the query"})
    line = fields.Integer(allow_none=True, metadata={"description": "line of the document, from 1"})
    column = fields.Integer(allow_none=True, metadata={"description": "column, from 1"})
    instance = fields.String(metadata={"description": "the instance that stands in the way"})


class ProblemSchema(Schema):
    """Why a request was refused (RFC 9457)."""

    type = fields.String(required=True, metadata={"description": "a stable URI of the kind"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String()
    instance = fields.String(metadata={"description": "the path that was asked for"})
    trace_id = fields.String(required=True)
    errors = fields.List(fields.Nested(ErrorItemSchema))
