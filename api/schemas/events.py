"""CloudEvents, what they matched, and who is told of them."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas.common import NAMESPACE, PageSchema, time, uuid
from api.schemas.instances import ANY

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 1000}

#: A CloudEvent in the JSON format (CloudEvents 1.0.2). Extensions have lower-case names.
CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "a CloudEvent 1.0 in its JSON format",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"type": "string", "const": "1.0"},
        "id": _TEXT,
        "source": {**_TEXT, "format": "uri-reference"},
        "type": _TEXT,
        "subject": _TEXT,
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": _TEXT,
        "dataschema": {**_TEXT, "format": "uri"},
        "data": {"description": "any JSON; not beside `data_base64`"},
        "data_base64": {"type": "string", "contentEncoding": "base64"},
    },
    "additionalProperties": {
        "anyOf": [{"type": "string", "maxLength": 1000}, {"type": "integer"}, {"type": "boolean"}]
    },
    "propertyNames": {"pattern": "^([a-z0-9]{1,64}|data_base64)$"},
}


class ReceivedSchema(Schema):
    """An event that was taken."""

    id = uuid(required=True, metadata={"description": "ours; the event has its own besides"})
    duplicate = fields.Boolean(
        required=True,
        metadata={"description": "it had been taken before, and has no effect again"},
    )


#: The answer to one event, and to a batch.
RECEIVED = {"anyOf": [ReceivedSchema, {"type": "array", "items": ReceivedSchema}]}


class EventSummarySchema(Schema):
    """An event, as it was received or emitted."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    event = ANY(required=True, metadata={"description": "the CloudEvent"})
    instance = uuid(
        required=True, allow_none=True, metadata={"description": "who emitted it, or is told of"}
    )
    target = uuid(
        required=True, allow_none=True, metadata={"description": "in whose mailbox it was put"}
    )
    created_at = time(required=True)
    matched_at = time(required=True, allow_none=True)


class MatchSchema(Schema):
    """Who was offered an event."""

    instance = uuid(required=True)
    step = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "the listener; null: the event started the instance"},
    )
    refused = fields.Boolean(
        required=True, metadata={"description": "the listener had no use for it any more"}
    )
    at = time(required=True)


class EventSchema(EventSummarySchema):
    """An event with what it matched."""

    matches = fields.List(fields.Nested(MatchSchema), required=True)


class EventsSchema(Schema):
    """A page of events, the newest first."""

    items = fields.List(fields.Nested(EventSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class IntoNamespaceSchema(Schema):
    """Where events go."""

    namespace = fields.String(
        validate=validate.Regexp(NAMESPACE),
        metadata={"description": "needed unless the key opens just one"},
    )


class EventsQuerySchema(PageSchema):
    """Which events."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    type = fields.String(validate=validate.Length(1, 1000))
    source = fields.String(validate=validate.Length(1, 1000))
    target = fields.UUID(metadata={"description": "the instance that it is addressed to"})
