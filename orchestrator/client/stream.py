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
        yield from (data for _, data in _events(lines))


def identified(
    transport: Transport, path: str, after: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id and the JSON data of each event after the one with that id, until the stream
    ends."""
    headers = {"Accept": "text/event-stream"}
    if after:
        headers["Last-Event-ID"] = after
    with transport.stream(path, headers) as lines:
        yield from _events(lines)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    id, data = "", list[str]()
    for line in lines:
        if line.startswith("id:"):
            id = line.removeprefix("id:").removeprefix(" ")
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield id, json.loads("\n".join(data))
            data.clear()
