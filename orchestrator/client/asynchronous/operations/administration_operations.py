"""Operations of the API: administration."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncAdministrationOperations(AsyncResources):
    """The operations of the API: administration."""

    def list_workers(
        self,
        *,
        limit: int | None = None,
        live: bool | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.Worker]:
        """Workers, the latest started first.

        ``GET /v1/workers``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("workers"), present({"limit": limit, "live": live, **(more or {})})
        )
        return pages

    async def get_queues(self) -> t.Queues:
        """Queues: waiting and running attempts, and workers.

        ``GET /v1/queues``
        """
        answer: t.Queues = await self.transport.json(
            "GET",
            path("queues"),
        )
        return answer

    def list_timers(
        self, *, limit: int | None = None, more: Mapping[str, str] | None = None
    ) -> AsyncIterator[t.Timer]:
        """Timers, the next due first.

        ``GET /v1/timers``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("timers"), present({"limit": limit, **(more or {})})
        )
        return pages

    def list_listeners(
        self, *, limit: int | None = None, more: Mapping[str, str] | None = None
    ) -> AsyncIterator[t.Listener]:
        """Listeners, the longest waiting first.

        ``GET /v1/listeners``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("listeners"), present({"limit": limit, **(more or {})})
        )
        return pages

    def list_audit(
        self,
        *,
        limit: int | None = None,
        action: str | None = None,
        target: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.Entry]:
        """The audit log, the newest entry first.

        ``GET /v1/audit``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("audit"),
            present({"limit": limit, "action": action, "target": target, **(more or {})}),
        )
        return pages

    async def get_namespaces(self) -> t.Namespaces:
        """The namespaces that the key may access and that have workflows.

        ``GET /v1/namespaces``
        """
        answer: t.Namespaces = await self.transport.json(
            "GET",
            path("namespaces"),
        )
        return answer
