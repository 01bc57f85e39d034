"""Server-sent events (WHATWG HTML, 9.2), as far as the API uses them: id and JSON data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from orchestrator.client.transport import Transport

#: First and longest pause before a stream without events is opened again, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class ReconnectDelays:
    """Pauses before a stream is opened again: none after an event, growing ones without events, so
    that an API whose streams end at once is not flooded."""

    def __init__(self) -> None:
        self._next = 0.0

    def arrived(self) -> None:
        """Record that the stream has delivered an event: the next pause is 0."""
        self._next = 0.0

    def wait(self) -> None:
        """Sleep for the current pause, and make the next one longer."""
        time.sleep(self._next)
        self._next = min(max(2 * self._next, _FIRST_PAUSE), _LONGEST_PAUSE)


def server_sent_events(transport: Transport, path: str, after: int) -> Iterator[dict[str, Any]]:
    """Yield the JSON data of each event after number `after`, until the stream ends."""
    headers = {"Accept": "text/event-stream"}
    if after:
        headers["Last-Event-ID"] = str(after)
    with transport.stream(path, headers) as lines:
        yield from (data for _, data in _events(lines))


def events_with_ids(
    transport: Transport, path: str, after: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield id and JSON data of each event after the id `after`, until the stream ends."""
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
