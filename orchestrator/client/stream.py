"""Server-sent events (WHATWG HTML, 9.2), as far as the API uses them: id and JSON data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.client.transport import Transport


def server_sent_events(transport: Transport, path: str, after: int) -> Iterator[dict[str, Any]]:
    """The JSON data of each event after the one numbered `after`, until the stream ends."""
    headers = {"Accept": "text/event-stream"}
    if after:
        headers["Last-Event-ID"] = str(after)
    with transport.stream(path, headers) as lines:
        yield from _events(lines)


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data.clear()
