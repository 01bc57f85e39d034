"""The schema of a request to start an instance, for processes without the API's libraries.

It is what `/openapi.json` publishes as `Start`; a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Json
from orchestrator.json_codec import ForbiddenText, NotJson, loads_strict
from orchestrator.start_requests.start_check import (
    RefusalKind,
    RefusedStart,
    too_large_message,
)
from orchestrator.start_requests.workflow_versions import pointer

if TYPE_CHECKING:
    import jsonschema_rs

#: Bytes that a request may have besides its payload.
ENVELOPE = 64 * 1024
#: The most errors of one request that are reported.
MAX_ERRORS = 50

#: Excludes control, zero-width and direction-changing characters, which people cannot see.
_PRINTABLE = (
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$"
)
_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
START: dict[str, Any] = {
    "type": "object",
    "properties": {
        "workflow": {
            "type": "object",
            "properties": {"namespace": _NAME, "name": _NAME, "version": _NAME},
            "required": ["name", "namespace"],
            "additionalProperties": False,
        },
        "input": {},
        "business_id": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 1000,
            "pattern": _PRINTABLE,
        },
        "labels": {
            "type": ["object", "null"],
            "maxProperties": 64,
            "additionalProperties": {"type": "string", "maxLength": 255, "pattern": _PRINTABLE},
        },
        "start_at": {"type": ["string", "null"], "format": "date-time"},
    },
    "required": ["workflow"],
    "additionalProperties": False,
}


@lru_cache
def _validator() -> jsonschema_rs.Validator:
    # Import jsonschema_rs only here: the library takes 3 MB of memory, which a beat that moves no
    # submitted starts does not need.
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(START, validate_formats=True, offline=True)


def read_request(text: str | None, namespace: str, max_payload: int) -> dict[str, Any]:
    """Return the request of a start from its JSON text (None: it was too large to read), checked as
    the API checks it.

    A workflow without a namespace is of `namespace`; so is ``"workflow": "name"``. Raises
    `RefusedStart`.
    """
    if text is None:
        message = too_large_message(max_payload + ENVELOPE, "the request")
        raise RefusedStart(RefusalKind.TOO_LARGE, message)
    request = _with_namespace(_parsed(text.encode()), namespace)
    validator = _validator()
    if not validator.is_valid(request):
        errors = [
            {"pointer": pointer(error.instance_path), "message": validation_message(error)}
            for error in validator.iter_errors(request)
        ][:MAX_ERRORS]
        raise RefusedStart(RefusalKind.INVALID, errors[0]["message"], errors)
    found: dict[str, Any] = request
    return found


def _parsed(body: bytes) -> Json:
    try:
        return loads_strict(body)
    except ForbiddenText as error:
        errors = [{"pointer": error.pointer, "message": str(error)}]
        raise RefusedStart(RefusalKind.INVALID, str(error), errors) from None
    except NotJson as error:
        raise RefusedStart(RefusalKind.MALFORMED, str(error)) from None


def _with_namespace(request: Json, namespace: str) -> Json:
    workflow = request.get("workflow") if isinstance(request, dict) else None
    if isinstance(workflow, str):
        before, _, name = workflow.rpartition("/")
        workflow = {"namespace": before or namespace, "name": name}
    elif isinstance(workflow, dict):
        workflow = {"namespace": namespace, **workflow}
    else:
        return request
    return {**request, "workflow": workflow}


def validation_message(error: jsonschema_rs.ValidationError) -> str:
    """Return the message of an error of a schema, naming unknown fields."""
    from jsonschema_rs import ValidationErrorKind

    message = error.message
    if isinstance(error.kind, ValidationErrorKind.AdditionalProperties):
        message = "unknown field " + ", ".join(f"'{name}'" for name in error.kind.unexpected)
    return message[:500]
