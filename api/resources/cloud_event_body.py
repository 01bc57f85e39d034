"""CloudEvents over HTTP: binary, structured and batched content mode (HTTP binding 1.0.2).

A body that is not a CloudEvent is a 400, one that is too large a 413. Of a batch all events are
accepted or none.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import request

from api.http import problem_types, request_body
from api.http.app_state import state
from api.http.problems import Problem
from api.http.resource_blueprint import Decorator, documentation
from api.schemas.events import CLOUD_EVENT
from orchestrator import json_codec
from orchestrator.core.cloud_event_validation import InvalidEvent, validated
from orchestrator.core.model import Json
from orchestrator.event_handler import binary_cloud_event

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"

#: The most events in one batch.
MAX_BATCH = 1000


def cloud_event_body(*, many: bool) -> Decorator:
    """Document that a view accepts CloudEvents as its body."""
    content: dict[str, Any] = {STRUCTURED: {"schema": CLOUD_EVENT}, JSON: {"schema": CLOUD_EVENT}}
    if many:
        items = {"type": "array", "items": CLOUD_EVENT, "maxItems": MAX_BATCH}
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
    """Return the request's events, and whether they came as a batch.

    Raises `Problem` 400, 413, 415, 422.
    """
    if request.mimetype == BATCH and many:
        return _batch(), True
    if request.mimetype.startswith("application/cloudevents") and request.mimetype != STRUCTURED:
        raise Problem(problem_types.MEDIA_TYPE, f"events must be {STRUCTURED}")
    if request.mimetype != STRUCTURED and _binary():
        return [_checked(_from_headers())], False
    if request.mimetype not in (STRUCTURED, JSON):
        raise Problem(
            problem_types.MEDIA_TYPE, f"events are {STRUCTURED}, or anything with ce- headers"
        )
    return [_checked(request_body.parse(request_body.read()))], False


def _binary() -> bool:
    return any(name.lower().startswith("ce-") for name, _ in request.headers)


def _from_headers() -> Json:
    body = request_body.read()
    try:
        return binary_cloud_event.from_binary(
            dict(request.headers), body, partial(request_body.parse, payload=True)
        )
    except InvalidEvent as error:
        raise _problem(error, "") from None


def _batch() -> list[dict[str, Json]]:
    values = request_body.parse(request_body.read(request_body.BATCH))
    if not isinstance(values, list):
        raise Problem(problem_types.INVALID_EVENT, "a batch is an array of events")
    if len(values) > MAX_BATCH:
        raise Problem(problem_types.TOO_LARGE, f"a batch has at most {MAX_BATCH} events")
    return [_checked(value, f"/{index}") for index, value in enumerate(values)]


def _checked(value: Json, at: str = "") -> dict[str, Json]:
    try:
        event = validated(value)
    except InvalidEvent as error:
        raise _problem(error, at) from None
    bound = state().services.settings.max_payload
    if len(json_codec.encode(event)) > bound:
        raise request_body.too_large(bound, f"the event{' at ' + at if at else ''}")
    return event


def _problem(error: InvalidEvent, at: str) -> Problem:
    errors = [
        {"pointer": f"{at}/{name}" if name else at, "message": f"{name or 'it'} {message}"}
        for name, message in error.errors
    ]
    return Problem(problem_types.INVALID_EVENT, errors[0]["message"], errors)
