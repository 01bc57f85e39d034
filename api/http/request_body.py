"""Bodies of requests: bounded, read strictly, and checked by the published schema.

The schema is the one in ``/openapi.json``, compiled once. So the documented and the enforced
schema cannot differ, and the check of a start takes microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

import jsonschema_rs
import marshmallow
from flask import g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from api.http import problem_types
from api.http.app_state import state
from api.http.problems import MAX_ERRORS, Problem
from api.http.resource_blueprint import documentation
from orchestrator.core.model import Json
from orchestrator.json_codec import ForbiddenText, NotJson, loads_strict
from orchestrator.start_requests.request_schema import ENVELOPE, validation_message
from orchestrator.start_requests.start_check import too_large_message
from orchestrator.start_requests.workflow_versions import pointer
from orchestrator.timestamps import moment

View = TypeVar("View", bound=Callable[..., Any])
Schema = type[marshmallow.Schema]

JSON = "application/json"
#: A batch may be this many times as large as a single request.
BATCH = 8


def schema_name(schema: Schema) -> str:
    """Return the name of a schema in the description."""
    return schema.__name__.removesuffix("Schema")


def json_body(schema: Schema, *, many: int = 0, optional: bool = False) -> Callable[[View], View]:
    """Pass the request's JSON body to the view as its first argument.

    `many`: an array of up to so many items is accepted too. `optional`: no body means `{}`.
    """

    def decorator(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            value = read_json(BATCH if many else 1, optional)
            if many and isinstance(value, list):
                _check_many(schema, value, many)
            else:
                check(schema, value)
            return view(value, *args, **kwargs)

        _document(wrapper, schema, many, optional)
        return wrapper  # type: ignore[return-value]

    return decorator


def _document(view: Any, schema: Schema, many: int, optional: bool) -> None:
    """Describe the body to flask-smorest."""
    described: Any = schema
    if many:
        items = {"type": "array", "items": schema, "minItems": 1, "maxItems": many}
        described = {"oneOf": [schema, items]}
    body = {"required": not optional, "content": {JSON: {"schema": described}}}
    documentation(view).setdefault("manual_doc", {})["requestBody"] = body


def read(times: int = 1) -> bytes:
    """Return the body, also a chunked one. Raises `Problem` 400, 413, 415."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(problem_types.MEDIA_TYPE, "bodies must have no Content-Encoding")
    bound = (state().services.settings.max_payload + ENVELOPE) * times
    if (request.content_length or 0) > bound:
        raise too_large(bound)
    try:
        body: bytes = request.stream.read(bound + 1)
    except (OSError, ParseException) as error:  # a lost connection; invalid chunks
        raise Problem(problem_types.MALFORMED, f"the body cannot be read: {error}") from None
    if len(body) > bound:
        raise too_large(bound)
    g.body = body
    return body


def too_large(bound: int, subject: str = "the body", setting: str = "max_payload") -> Problem:
    """Return the problem of a subject larger than `bound` bytes, the value of `setting`."""
    return Problem(problem_types.TOO_LARGE, too_large_message(bound, subject, setting))


def read_json(times: int = 1, optional: bool = False) -> Json:
    """Return the JSON value of the body. Raises `Problem` 400, 413, 415, 422."""
    if request.mimetype != JSON:
        if optional and not request.mimetype and not read():
            return {}
        raise Problem(problem_types.MEDIA_TYPE, f"the body must be {JSON}")
    body = read(times)
    if optional and not body:
        return {}
    return parse(body)


def parse(body: bytes, *, payload: bool = False) -> Json:
    """Return the value of a JSON text. `payload`: all of it is a value of workflows, such as the
    data of an event. Raises `Problem` 400, 422."""
    try:
        return loads_strict(body, payload=payload)
    except ForbiddenText as error:
        errors = [{"pointer": error.pointer, "message": str(error)}]
        raise Problem(problem_types.INVALID, str(error), errors) from None
    except NotJson as error:
        raise Problem(problem_types.MALFORMED_JSON, str(error)) from None


def check(schema: Schema, value: Json, at: str = "") -> None:
    """Check a value by its schema; `at` is its JSON pointer. Raises `Problem` 422."""
    validator = state().validators.get(schema_name(schema))
    if not validator.is_valid(value):
        errors = [_error(error, at) for error in validator.iter_errors(value)][:MAX_ERRORS]
        raise Problem(problem_types.INVALID, errors[0]["message"], errors)


def _check_many(schema: Schema, values: list[Json], many: int) -> None:
    if not values:
        raise Problem(problem_types.INVALID, "the array is empty")
    if len(values) > many:
        raise Problem(
            problem_types.INVALID, f"the array has {len(values)} items, at most {many} are allowed"
        )
    for index, value in enumerate(values):
        check(schema, value, f"/{index}")


def _error(error: jsonschema_rs.ValidationError, at: str) -> dict[str, str]:
    return {"pointer": at + pointer(error.instance_path), "message": validation_message(error)}


def moment_at(pointer: str, text: str) -> datetime:
    """Return the time `text`, found in the body at `pointer`. Raises `Problem` 422."""
    try:
        return moment(text)
    except ValueError as error:
        errors = [{"pointer": pointer, "message": str(error)}]
        raise Problem(problem_types.INVALID, str(error), errors) from None
