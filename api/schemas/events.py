"""CloudEvents, what they matched, and who is told of them."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas.common import ANY, NAMESPACE, CommaSeparated, PageSchema, name, time, uuid

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


class StreamQuerySchema(Schema):
    """Which events of the live feed."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    type = fields.String(
        validate=validate.Length(1, 1000),
        metadata={"description": "or the beginning of types, with `*` at its end"},
    )
    source = fields.String(validate=validate.Length(1, 1000))
    instance = fields.UUID(metadata={"description": "lifecycle events of this instance only"})


class AcceptedEventSchema(Schema):
    """An event that was taken."""

    id = uuid(required=True, metadata={"description": "ours; the event has its own besides"})
    duplicate = fields.Boolean(
        required=True,
        metadata={"description": "it had been taken before, and has no effect again"},
    )


#: The answer to one event, and to a batch.
ACCEPTED = {"anyOf": [AcceptedEventSchema, {"type": "array", "items": AcceptedEventSchema}]}


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


class EventCauseSchema(Schema):
    """One thing that became of an event, or one reason why nothing did."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(
            ("taken", "refused", "no-control", "matching", "not-matched", "nobody")
        ),
    )
    message = fields.String(required=True)
    instance = uuid()
    step = fields.Integer(allow_none=True)
    queue = fields.String()
    meant = fields.String(metadata={"description": "the type that was probably meant"})


class EventWhySchema(Schema):
    """What became of an event, and why."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    causes = fields.List(
        fields.Nested(EventCauseSchema), required=True, validate=validate.Length(1)
    )


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


_FILTER = {"type": "object", "maxProperties": 64}
STATES = ("active", "paused", "disabled")


class WebhookSchema(Schema):
    """Where events are sent: as structured CloudEvents, signed after Standard Webhooks."""

    url = fields.String(
        required=True,
        validate=validate.Length(1, 2000),
        metadata={"pattern": r"^https?://[^\s@/?#]+([/?#]\S*)?$"},
    )
    secret = fields.String(
        validate=validate.Length(1, 120),
        metadata={"description": "`whsec_` and 24 to 64 bytes in base64; made unless given"},
    )


class StartsSchema(Schema):
    """The workflow of the same namespace that each event starts."""

    name = fields.String(required=True, validate=validate.Length(1, 255))
    version = fields.String(
        validate=validate.Length(1, 255), metadata={"description": "the newest unless given"}
    )
    read = fields.String(
        validate=validate.OneOf(("data", "envelope", "raw")),
        metadata={"description": "what the input is: the event (`envelope`) unless given"},
    )


class NewSubscriptionSchema(Schema):
    """Who wants to be told of which events."""

    namespace = fields.String(
        validate=validate.Regexp(NAMESPACE),
        metadata={"description": "needed unless the key opens just one"},
    )
    description = name(1000, least=0, allow_none=True)
    filter = fields.Dict(
        required=True,
        metadata={**_FILTER, "description": "as `with` in an event filter of the DSL"},
    )
    webhook = fields.Nested(WebhookSchema)
    workflow = fields.Nested(StartsSchema)


class ChangeSubscriptionSchema(Schema):
    """What to change of a subscription."""

    state = fields.String(validate=validate.OneOf(("active", "paused")))
    description = name(1000, least=0, allow_none=True)
    filter = fields.Dict(metadata=_FILTER)
    webhook = fields.Nested(WebhookSchema)


class SentToSchema(Schema):
    """Where events are sent."""

    url = fields.String(required=True)


class SubscriptionSchema(Schema):
    """A subscription, without its secret."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    description = fields.String(required=True, allow_none=True)
    filter = ANY(required=True)
    webhook = fields.Nested(SentToSchema, required=True, allow_none=True)
    workflow = fields.Nested(StartsSchema, required=True, allow_none=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "why it was disabled"}
    )
    failures = fields.Integer(required=True, metadata={"description": "in a row"})
    failing_since = time(required=True, allow_none=True)
    created_at = time(required=True)
    changed_at = time(required=True)


class NewSubscriptionSecretSchema(SubscriptionSchema):
    """A subscription that was just made."""

    secret = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "what verifies the signatures; shown this once"},
    )


class SubscriptionsSchema(Schema):
    """A page of subscriptions, the newest first."""

    items = fields.List(fields.Nested(SubscriptionSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class SubscriptionsQuerySchema(PageSchema):
    """Which subscriptions."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    state = CommaSeparated(STATES, load_default=())


DELIVERY_STATES = ("pending", "delivered", "failed")


class DeliverySchema(Schema):
    """An event on its way to a subscriber."""

    id = uuid(required=True, metadata={"description": "the `webhook-id`, however often it is sent"})
    subscription = uuid(required=True)
    event = uuid(required=True, allow_none=True)
    type = fields.String(required=True, allow_none=True)
    ordering = uuid(
        required=True,
        allow_none=True,
        metadata={"description": "the instance among whose events the order is kept"},
    )
    state = fields.String(required=True, validate=validate.OneOf(DELIVERY_STATES))
    attempts = fields.Integer(required=True)
    next_at = time(required=True, allow_none=True)
    until = time(required=True)
    status = fields.Integer(
        required=True, allow_none=True, metadata={"description": "of the last answer"}
    )
    error = fields.String(required=True, allow_none=True)
    instance = uuid(required=True, allow_none=True, metadata={"description": "that it has started"})
    created_at = time(required=True)
    ended_at = time(required=True, allow_none=True)


class DeliveriesSchema(Schema):
    """A page of deliveries, the newest first."""

    items = fields.List(fields.Nested(DeliverySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class DeliveriesQuerySchema(PageSchema):
    """Which deliveries."""

    state = CommaSeparated(DELIVERY_STATES, load_default=())
