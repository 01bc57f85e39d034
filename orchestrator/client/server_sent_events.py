"""Server-sent events (WHATWG HTML, 9.2), as far as the API uses them: id and JSON data."""

from __future__ import annotations

import json
from typing import Any

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

    def next(self) -> float:
        """Return the current pause in seconds, and make the next one longer."""
        pause = self._next
        self._next = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        return pause


class EventParser:
    """Puts the lines of a stream together to events."""

    def __init__(self) -> None:
        self._id = ""
        self._data: list[str] = []

    def feed(self, line: str) -> tuple[str, Any] | None:
        """Take a line; return the id and the JSON data of the event that it ends, or None."""
        if line.startswith("id:"):
            self._id = line.removeprefix("id:").removeprefix(" ")
        elif line.startswith("data:"):
            self._data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and self._data:
            text = "\n".join(self._data)
            self._data.clear()
            return self._id, json.loads(text)
        return None


def stream_headers(after: str | None) -> dict[str, str]:
    """Return the headers that open a stream after the event with this id."""
    headers = {"Accept": "text/event-stream"}
    return {**headers, "Last-Event-ID": after} if after else headers
