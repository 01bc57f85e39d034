"""What of the API is on its way out: declared here, told by every answer and the description.

A deprecated operation works as before. Its answers carry `Deprecation` (RFC 9745), `Sunset`
(RFC 8594) once its end is set, and a `Link` to what to use instead; the description marks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

#: Where a request's environment holds its endpoint.
ENDPOINT = "orchestrator.endpoint"


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Since when (a time in UTC), until when it works at least, and where to read on."""

    since: datetime
    sunset: datetime | None = None
    link: str | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What its answers carry."""
        found = [("Deprecation", f"@{int(self.since.timestamp())}")]
        if self.sunset:
            found.append(("Sunset", format_datetime(self.sunset.astimezone(UTC), usegmt=True)))
        if self.link:
            found.append(("Link", f'<{self.link}>; rel="deprecation"; type="text/html"'))
        return found


#: By endpoint, as ``"administration.timers"``: the resource's name and the view's. A line here
#: is all that it takes; it stays for a major release at least, and the changelog tells of it.
DEPRECATED: Mapping[str, Deprecated] = {}


def headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the answer to a request carries besides."""
    found = DEPRECATED.get(environ.get(ENDPOINT) or "")
    return found.headers if found else []


def mark(app: Flask, paths: Mapping[str, Any]) -> None:
    """Mark the deprecated operations in a description's paths."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint in DEPRECATED:
            operations = paths[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)]
            for method in (rule.methods or set()) & {each.upper() for each in operations}:
                operations[method.lower()]["deprecated"] = True
