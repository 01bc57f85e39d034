"""The `Prefer` header (RFC 7240): of its preferences, `wait`."""

from __future__ import annotations

import re

from flask import request

#: The longest that a request may wait, in seconds.
LONGEST = 60.0

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:[,;]|$)", re.IGNORECASE)


def wait() -> float | None:
    """How many seconds the client prefers to wait, at most `LONGEST`; None: not at all.

    What can't be understood is no preference (RFC 7240, section 2).
    """
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found.group(1)), LONGEST) if found else None
