"""The base of the client's methods: read one answer, all items of a list, a stream."""

# Written from asynchronous/resource_base.py by: python -m tests.support.client_twin

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

from orchestrator.client.errors import Unreachable
from orchestrator.client.server_sent_events import EventParser, ReconnectDelays, stream_headers
from orchestrator.client.synchronous.transport import Transport


class Resources:
    """The resources of the API behind a transport."""

    transport: Transport

    def pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield every item of a paged list; pages are requested as needed."""
        query = dict(params or {})
        while True:
            page = self._json("GET", path, params=query)
            yield from page["items"]
            if not page.get("next"):
                return
            query["cursor"] = page["next"]

    def server_sent_events(
        self, path: str, params: Mapping[str, Any] | None = None, after: str | None = None
    ) -> Generator[tuple[str, Any], None, None]:
        """Yield id and JSON data of each event after the id `after`, until the stream ends."""
        parser = EventParser()
        with self.transport.stream(path, stream_headers(after), params) as lines:
            for line in lines:
                event = parser.feed(line)
                if event is not None:
                    yield event

    def endless_stream(
        self, path: str, params: Mapping[str, Any] | None = None, after: str | None = None
    ) -> Generator[tuple[str, Any], None, None]:
        """Yield id and JSON data of each event after the id `after`. A broken connection is opened
        again, and continues after the last event. Raises `Unreachable` if the API is gone."""
        pauses = ReconnectDelays()
        while True:
            try:
                with closing(self.server_sent_events(path, params, after)) as events:
                    for id, event in events:
                        pauses.arrived()
                        after = id or after
                        yield id, event
            except Unreachable:
                self._json("GET", "/v1/me")  # raises if the API is unreachable
            time.sleep(pauses.next())

    def _json(self, method: str, path: str, **content: Any) -> Any:
        return self.transport.json(method, path, **content)
