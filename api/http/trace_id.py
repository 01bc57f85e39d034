"""The id by which a request is found again: in its answer, in problems, in the log.

It is the trace-id of the caller's `traceparent` (W3C Trace Context) where there is one, so
that one id runs through the caller's systems and ours.
"""

from __future__ import annotations

import os
import re
from typing import Any

from flask import has_request_context, request

#: The header of the answer that tells it.
HEADER = "X-Request-Id"

_KEY = "orchestrator.trace"
#: Neither the version ff nor ids of zeros only are valid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
#: The largest `tracestate` that is passed on, in characters (Trace Context, 3.3.1.5).
_STATE = 512


def begin(environ: dict[str, Any]) -> str:
    """The trace id of a request that arrives: 32 hexadecimal digits."""
    match = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    found = environ[_KEY] = match.group(1) if match else new()
    return found


def current() -> str:
    """The present request's trace id."""
    found: str = request.environ[_KEY]
    return found


def passed_on() -> dict[str, str] | None:
    """What the steps of an instance that this request starts are told of the caller's trace:
    ``{traceparent, tracestate?}``; None where the caller has none."""
    if _TRACEPARENT.fullmatch(parent := request.headers.get("traceparent", "")) is None:
        return None
    state = request.headers.get("tracestate", "")
    known = 0 < len(state) <= _STATE and state.isascii() and state.isprintable()
    return {"traceparent": parent, **({"tracestate": state} if known else {})}


def ids() -> dict[str, str]:
    """What a log line says of the present request, whoever writes it."""
    return {"trace_id": request.environ[_KEY]} if has_request_context() else {}


def new() -> str:
    """An id of our own."""
    return os.urandom(16).hex()
