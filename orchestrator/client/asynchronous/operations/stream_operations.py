"""Operations of the API: stream."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncStreamOperations(AsyncResources):
    """The operations of the API: stream."""

    async def stream_events(
        self,
        *,
        namespace: str | None = None,
        type: str | None = None,
        source: str | None = None,
        instance: str | None = None,
        more: Mapping[str, str] | None = None,
        after: str | None = None,
    ) -> AsyncIterator[tuple[str, Json]]:
        """The live feed: events as they are received and emitted, and lifecycle events.

        Server-sent events whose data are CloudEvents, from now on. `Last-Event-ID` continues a
        stream after that event. A client that reads too slowly is disconnected, and may
        continue. After the restore of an older backup, an id of the time after it starts a
        stream from now on.

        ``GET /v1/events/stream``
        """
        async with aclosing(
            self.endless_stream(
                path("events", "stream"),
                present(
                    {
                        "namespace": namespace,
                        "type": type,
                        "source": source,
                        "instance": instance,
                        **(more or {}),
                    }
                ),
                after,
            )
        ) as events:
            async for event in events:
                yield event
