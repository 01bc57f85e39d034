"""Fields and schemas that several resources share."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from orchestrator.timestamps import in_utc

#: Excludes control, zero-width and direction-changing characters, which people cannot see.
PRINTABLE = (
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$"
)
NAMESPACE = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

STATUSES = ("pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed")
COMPENSATIONS = ("none", "running", "completed", "failed")

#: Any JSON value.
ANY = fields.Raw


#: An id as the API writes and takes it.
UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def name(most: int = 255, least: int = 1, **options: Any) -> fields.String:
    """Return a field of bounded text without invisible characters."""
    metadata = {"pattern": PRINTABLE, **options.pop("metadata", {})}
    return fields.String(validate=validate.Length(least, most), metadata=metadata, **options)


def uuid(**options: Any) -> fields.String:
    """Return a field of an id that the orchestrator has made."""
    return fields.String(metadata={"format": "uuid", **options.pop("metadata", {})}, **options)


def uuid_filter(description: str) -> fields.String:
    """Return a query parameter that takes an id, and refuses anything else."""
    return fields.String(validate=validate.Regexp(UUID), metadata={"description": description})


def time(**options: Any) -> fields.String:
    """Return a field of a time (RFC 3339)."""
    return fields.String(metadata={"format": "date-time", **options.pop("metadata", {})}, **options)


class CommaSeparatedTexts(fields.String):
    """A query parameter such as ``a,b``: a list of up to 20 texts."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        values: list[str] = super()._deserialize(value, attr, data, **kwargs).split(",")
        if len(values) > 20 or not all(0 < len(text) <= 500 for text in values):
            raise ValidationError("must be 1 to 20 texts of 1 to 500 characters each")
        return values


class CommaSeparated(fields.String):
    """A query parameter such as ``a,b``: a list of values, all among the choices."""

    def __init__(self, choices: tuple[str, ...], **options: Any) -> None:
        pattern = f"^({'|'.join(choices)})(,({'|'.join(choices)}))*$"
        metadata = {"pattern": pattern, **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)
        self.choices = choices

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        values: list[str] = super()._deserialize(value, attr, data, **kwargs).split(",")
        unknown = [item for item in values if item not in self.choices]
        if unknown:
            known = ", ".join(self.choices)
            raise ValidationError(f"{unknown[0][:50]!r} is not one of {known}")
        return values


class Moment(fields.AwareDateTime):
    """A time in a query, converted to UTC."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return in_utc(super()._deserialize(value, attr, data, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class PageSchema(Schema):
    """The size and the start of a page."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 1000))
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(max=2000),
        metadata={"description": "`next` of the previous page"},
    )


class ErrorItemSchema(Schema):
    """One error in a request."""

    message = fields.String(required=True)
    pointer = fields.String(
        allow_none=True, metadata={"description": "JSON pointer into the body (RFC 6901)"}
    )
    parameter = fields.String(metadata={"description": "parameter of the query"})
    line = fields.Integer(allow_none=True, metadata={"description": "line of the document, from 1"})
    column = fields.Integer(allow_none=True, metadata={"description": "column, from 1"})
    instance = fields.String(metadata={"description": "the instance that causes the conflict"})


class ProblemSchema(Schema):
    """Why a request was refused (RFC 9457)."""

    type = fields.String(required=True, metadata={"description": "stable URI of the problem type"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String()
    instance = fields.String(metadata={"description": "path of the request"})
    trace_id = fields.String(required=True)
    errors = fields.List(fields.Nested(ErrorItemSchema))
