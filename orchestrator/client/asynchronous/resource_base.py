"""The base of the client's methods: read one answer, all items of a list, a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from orchestrator.client.asynchronous.transport import AsyncTransport
from orchestrator.client.errors import Unreachable
from orchestrator.client.server_sent_events import EventParser, ReconnectDelays, stream_headers


class AsyncResources:
    """The resources of the API behind a transport."""

    transport: AsyncTransport

    async def pages(
        self, path: str, params: Mapping[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield every item of a paged list; pages are requested as needed."""
        query = dict(params or {})
        while True:
            page = await self._json("GET", path, params=query)
            for item in page["items"]:
                yield item
            if not page.get("next"):
                return
            query["cursor"] = page["next"]

    async def server_sent_events(
        self, path: str, params: Mapping[str, Any] | None = None, after: str | None = None
    ) -> AsyncGenerator[tuple[str, Any], None]:
        """Yield id and JSON data of each event after the id `after`, until the stream ends."""
        parser = EventParser()
        async with self.transport.stream(path, stream_headers(after), params) as lines:
            async for line in lines:
                event = parser.feed(line)
                if event is not None:
                    yield event

    async def endless_stream(
        self, path: str, params: Mapping[str, Any] | None = None, after: str | None = None
    ) -> AsyncGenerator[tuple[str, Any], None]:
        """Yield id and JSON data of each event after the id `after`. A broken connection is opened
        again, and continues after the last event. Raises `Unreachable` if the API is gone."""
        pauses = ReconnectDelays()
        while True:
            try:
                async with aclosing(self.server_sent_events(path, params, after)) as events:
                    async for id, event in events:
                        pauses.arrived()
                        after = id or after
                        yield id, event
            except Unreachable:
                await self._json("GET", "/v1/me")  # raises if the API is unreachable
            await asyncio.sleep(pauses.next())

    async def _json(self, method: str, path: str, **content: Any) -> Any:
        return await self.transport.json(method, path, **content)
