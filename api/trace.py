"""The id by which a request is found again: in its answer, in problems, in the log.

It is the trace-id of the caller's `traceparent` (W3C Trace Context) where there is one, so
that one id runs through the caller's systems and ours.
"""

from __future__ import annotations

import os
import re
from typing import Any

from flask import request

#: The header of the answer that tells it.
HEADER = "X-Request-Id"

_KEY = "orchestrator.trace"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def begin(environ: dict[str, Any]) -> str:
    """The trace id of a request that arrives: 32 hexadecimal digits."""
    match = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    found = environ[_KEY] = match.group(1) if match else new()
    return found


def current() -> str:
    """The present request's trace id."""
    found: str = request.environ[_KEY]
    return found


def new() -> str:
    """An id of our own."""
    return os.urandom(16).hex()
