"""The id of a request, shown in its answer, in problems and in the log.

It is the trace-id of the caller's `traceparent` (W3C Trace Context) if there is one, so that one
id connects the caller's systems and the orchestrator.
"""

from __future__ import annotations

import os
import re
from typing import Any

from flask import has_request_context, request

#: The header of the answer.
HEADER = "X-Request-Id"

_KEY = "orchestrator.trace"
#: Version ff and ids of zeros only are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
#: The largest `tracestate` that is passed on, in characters (Trace Context, 3.3.1.5).
_STATE = 512


def begin(environ: dict[str, Any]) -> str:
    """Set and return the trace id of a new request: 32 hexadecimal digits."""
    match = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    id = environ[_KEY] = match.group(1) if match else new()
    return id


def current() -> str:
    """Return the trace id of the current request."""
    id: str = request.environ[_KEY]
    return id


def passed_on() -> dict[str, str] | None:
    """Return the caller's trace for the steps of an instance that this request starts.

    It is ``{traceparent, tracestate?}``, or None if the caller sent none.
    """
    if _TRACEPARENT.fullmatch(parent := request.headers.get("traceparent", "")) is None:
        return None
    state = request.headers.get("tracestate", "")
    is_valid = 0 < len(state) <= _STATE and state.isascii() and state.isprintable()
    return {"traceparent": parent, **({"tracestate": state} if is_valid else {})}


def ids() -> dict[str, str]:
    """Return the fields that each log line of the current request gets."""
    return {"trace_id": request.environ[_KEY]} if has_request_context() else {}


def new() -> str:
    """Return a new trace id."""
    return os.urandom(16).hex()
