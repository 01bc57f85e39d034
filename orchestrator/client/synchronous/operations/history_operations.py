"""Operations of the API: history."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class HistoryOperations(Resources):
    """The operations of the API: history."""

    def list_instance_history(
        self,
        id: str,
        *,
        limit: int | None = None,
        sort: Literal["sequence", "-sequence"] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[t.Transition]:
        """Transitions in their order.

        With `Accept: text/event-stream` they are sent as they are committed: server-sent events
        whose id is the transition's sequence. `Last-Event-ID` continues a stream. The stream
        ends with the instance.

        ``GET /v1/instances/{id}/history``
        """
        pages: Iterator[Any] = self.pages(
            path("instances", id, "history"),
            present({"limit": limit, "sort": sort, **(more or {})}),
        )
        return pages
