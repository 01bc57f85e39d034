"""CloudEvents over HTTP: binary, structured and batched content mode (HTTP binding 1.0.2).

What is no CloudEvent is a 400, what is too large a 413; of a batch all events are taken or none.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import request

from api import bodies, kinds
from api.context import state
from api.problems import Problem
from api.resource import Decorator, documentation
from api.schemas.events import CLOUD_EVENT
from orchestrator import codec
from orchestrator.core.values import Json
from orchestrator.event_handler import cloud_events
from orchestrator.event_handler.cloud_events import InvalidEvent

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"

#: Events of one batch.
MOST = 1000


def takes_events(*, many: bool) -> Decorator:
    """Document that a view takes CloudEvents as its body."""
    content: dict[str, Any] = {STRUCTURED: {"schema": CLOUD_EVENT}, JSON: {"schema": CLOUD_EVENT}}
    if many:
        items = {"type": "array", "items": CLOUD_EVENT, "maxItems": MOST}
        content[BATCH] = {"schema": items}

    def decorator(view: Any) -> Any:
        documentation(view).setdefault("manual_doc", {})["requestBody"] = {
            "required": True,
            "description": "or, with `ce-` headers, the data of an event (binary content mode)",
            "content": content,
        }
        return view

    return decorator


def read(*, many: bool) -> tuple[list[dict[str, Json]], bool]:
    """The request's events, and whether they came as a batch.

    Raises `Problem` 400, 413, 415, 422.
    """
    if request.mimetype == BATCH and many:
        return _batch(), True
    if request.mimetype.startswith("application/cloudevents") and request.mimetype != STRUCTURED:
        raise Problem(kinds.MEDIA_TYPE, f"events are taken as {STRUCTURED}")
    if request.mimetype != STRUCTURED and _binary():
        return [_one(_from_headers())], False
    if request.mimetype not in (STRUCTURED, JSON):
        raise Problem(kinds.MEDIA_TYPE, f"events are {STRUCTURED}, or anything with ce- headers")
    return [_one(bodies.parse(bodies.read()))], False


def _binary() -> bool:
    return any(name.lower().startswith("ce-") for name, _ in request.headers)


def _from_headers() -> Json:
    body = bodies.read()
    try:
        return cloud_events.from_binary(
            dict(request.headers), body, partial(bodies.parse, payload=True)
        )
    except InvalidEvent as error:
        raise _problem(error, "") from None


def _batch() -> list[dict[str, Json]]:
    values = bodies.parse(bodies.read(bodies.BATCH))
    if not isinstance(values, list):
        raise Problem(kinds.INVALID_EVENT, "a batch is an array of events")
    if len(values) > MOST:
        raise Problem(kinds.TOO_LARGE, f"a batch has at most {MOST} events")
    return [_one(value, f"/{place}") for place, value in enumerate(values)]


def _one(value: Json, at: str = "") -> dict[str, Json]:
    try:
        event = cloud_events.checked(value)
    except InvalidEvent as error:
        raise _problem(error, at) from None
    bound = state().services.settings.max_payload
    if len(codec.encode(event)) > bound:
        raise bodies.too_large(bound, f"the event{' at ' + at if at else ''}")
    return event


def _problem(error: InvalidEvent, at: str) -> Problem:
    errors = [
        {"pointer": f"{at}/{name}" if name else at, "message": f"{name or 'it'} {message}"}
        for name, message in error.errors
    ]
    return Problem(kinds.INVALID_EVENT, errors[0]["message"], errors)
