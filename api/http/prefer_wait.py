"""The preference `wait` of the `Prefer` header (RFC 7240)."""

from __future__ import annotations

import re

from flask import request

#: The longest that a request may wait, in seconds.
LONGEST = 60.0

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:[,;]|$)", re.IGNORECASE)


def wait() -> float | None:
    """Return the seconds that the client prefers to wait, at most `LONGEST`, or None.

    A preference that cannot be read is ignored (RFC 7240, section 2).
    """
    match = _WAIT.search(request.headers.get("Prefer", ""))
    return min(float(match.group(1)), LONGEST) if match else None
