"""The id by which a request is found again: in its answer, in problems, in the log.

It is the trace-id of the caller's `traceparent` (W3C Trace Context) where there is one, so
that one id runs through the caller's systems and ours.
"""

from __future__ import annotations

import os
import re

from flask import g, request

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def current() -> str:
    """The present request's trace id: 32 hexadecimal digits."""
    found: str | None = g.get("trace_id")
    if found is None:
        match = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        found = g.trace_id = match.group(1) if match else os.urandom(16).hex()
    return found
