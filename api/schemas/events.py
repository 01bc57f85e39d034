"""CloudEvents, their matches and the live feed."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas.common import ANY, NAMESPACE, PageSchema, time, uuid

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
    """A filter of the live feed."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    type = fields.String(
        validate=validate.Length(1, 1000),
        metadata={"description": "a type, or the beginning of types followed by `*`"},
    )
    source = fields.String(validate=validate.Length(1, 1000))
    instance = fields.UUID(metadata={"description": "lifecycle events of this instance only"})


class AcceptedEventSchema(Schema):
    """An accepted event."""

    id = uuid(
        required=True,
        metadata={"description": "the orchestrator's own id of the event"},
    )
    duplicate = fields.Boolean(
        required=True,
        metadata={"description": "the event was accepted before, and has no further effect"},
    )


#: The answer to one event or to a batch.
ACCEPTED = {"anyOf": [AcceptedEventSchema, {"type": "array", "items": AcceptedEventSchema}]}


class EventSummarySchema(Schema):
    """A received or emitted event."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    event = ANY(required=True, metadata={"description": "the CloudEvent"})
    instance = uuid(
        required=True,
        allow_none=True,
        metadata={"description": "its emitter, or the lifecycle event's instance"},
    )
    target = uuid(
        required=True,
        allow_none=True,
        metadata={"description": "the instance that has it in its mailbox"},
    )
    created_at = time(required=True)
    matched_at = time(
        required=True,
        allow_none=True,
        metadata={"description": "when it was compared with all listeners, also if none matched"},
    )


class MatchSchema(Schema):
    """A listener or subscription that was offered an event."""

    instance = uuid(required=True)
    step = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "the listener; null: the event started the instance"},
    )
    refused = fields.Boolean(
        required=True, metadata={"description": "the listener no longer needed it"}
    )
    at = time(required=True)


class EventSchema(EventSummarySchema):
    """An event with its matches."""

    matches = fields.List(fields.Nested(MatchSchema), required=True)


class EventCauseSchema(Schema):
    """One effect of an event, or one reason why it had none."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(
            ("consumed", "refused", "no-control", "matching", "not-matched", "no-listener")
        ),
    )
    message = fields.String(required=True)
    instance = uuid()
    step = fields.Integer(allow_none=True)
    queue = fields.String()
    workers = fields.Boolean(metadata={"description": "whether any worker is alive"})
    meant = fields.String(metadata={"description": "the most similar awaited type"})


class EventWhySchema(Schema):
    """The effects of an event, or the reasons why it had none."""

    id = uuid(required=True)
    namespace = fields.String(required=True)
    causes = fields.List(
        fields.Nested(EventCauseSchema), required=True, validate=validate.Length(1)
    )


class EventsSchema(Schema):
    """A page of events, the newest first."""

    items = fields.List(fields.Nested(EventSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True)


class EventDryRunSchema(Schema):
    """Whether an event is only tried."""

    dry_run = fields.Boolean(
        load_default=False,
        metadata={"description": "answer who would get the event, and change nothing"},
    )


class IntoNamespaceSchema(Schema):
    """The namespace that a change is made in."""

    namespace = fields.String(
        validate=validate.Regexp(NAMESPACE),
        metadata={"description": "required unless the key has exactly one"},
    )


class EventIntoNamespaceSchema(IntoNamespaceSchema, EventDryRunSchema):
    """The namespace that events are put into, and whether they are only tried."""


class EventsQuerySchema(PageSchema):
    """A filter of events."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    type = fields.String(validate=validate.Length(1, 1000))
    source = fields.String(validate=validate.Length(1, 1000))
    target = fields.UUID(metadata={"description": "the instance that it is addressed to"})


class HearingWorkflowSchema(Schema):
    """A workflow; without a version, the newest one."""

    namespace = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.String()


class HearingListenerSchema(Schema):
    """A step that would be offered the event."""

    instance = uuid(required=True)
    business_id = fields.String(required=True, allow_none=True)
    workflow = fields.Nested(HearingWorkflowSchema, required=True)
    step = fields.Integer(required=True)
    name = fields.String(required=True)
    reference = fields.String(required=True)


class EventStartSchema(Schema):
    """A workflow that the event would start."""

    workflow = fields.Nested(HearingWorkflowSchema, required=True)
    by = fields.String(required=True, validate=validate.OneOf(("schedule", "subscription")))
    id = uuid(required=True, metadata={"description": "of the schedule or subscription"})
    certain = fields.Boolean(
        required=True,
        metadata={"description": "false: the schedule may need more events for a start"},
    )


class HearingWebhookSchema(Schema):
    """A subscription whose webhook would be called."""

    id = uuid(required=True)
    description = fields.String(required=True, allow_none=True)


class EventPlanSchema(Schema):
    """Who would get an event."""

    duplicate = fields.Boolean(
        required=True, metadata={"description": "it was accepted before: nobody gets it again"}
    )
    listeners = fields.List(fields.Nested(HearingListenerSchema), required=True)
    more = fields.Integer(
        required=True, metadata={"description": "listeners besides the first 100"}
    )
    mailbox = fields.Boolean(
        required=True, metadata={"description": "it would wait in the instance's mailbox"}
    )
    starts = fields.List(fields.Nested(EventStartSchema), required=True)
    webhooks = fields.List(fields.Nested(HearingWebhookSchema), required=True)
    warnings = fields.List(fields.String(), required=True)
