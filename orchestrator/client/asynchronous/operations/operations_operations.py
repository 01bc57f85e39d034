"""Operations of the API: operations."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncOperationsOperations(AsyncResources):
    """The operations of the API: operations."""

    def list_operations(
        self,
        *,
        limit: int | None = None,
        state: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.Operation]:
        """Bulk operations, the newest first.

        ``GET /v1/operations``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("operations"), present({"limit": limit, "state": state, **(more or {})})
        )
        return pages

    async def create_operation(
        self, body: t.NewOperation, *, idempotency_key: str | None = None
    ) -> t.DryRun | t.Operation:
        """Give a command to all instances that a filter selects, or act on dead letters.

        With `dry_run` nothing is done. Otherwise the operation is done in batches. It reaches
        those that existed when it was requested and whose status allows the command in their
        batch.

        ``POST /v1/operations``
        """
        answer: t.DryRun | t.Operation = await self.transport.json(
            "POST",
            path("operations"),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    async def get_operation(self, id: str) -> t.OperationDetails:
        """A bulk operation, its progress, and what became of the instances.

        ``GET /v1/operations/{id}``
        """
        answer: t.OperationDetails = await self.transport.json(
            "GET",
            path("operations", id),
        )
        return answer

    async def delete_operation(self, id: str) -> t.Operation:
        """Stop a bulk operation.

        Instances that it has reached are not restored.

        ``DELETE /v1/operations/{id}``
        """
        answer: t.Operation = await self.transport.json(
            "DELETE",
            path("operations", id),
        )
        return answer

    def list_operation_outcomes(
        self, id: str, *, limit: int | None = None, more: Mapping[str, str] | None = None
    ) -> AsyncIterator[t.Outcome]:
        """What became of each instance that a bulk operation has reached.

        An operation on dead letters has none.

        ``GET /v1/operations/{id}/outcomes``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("operations", id, "outcomes"), present({"limit": limit, **(more or {})})
        )
        return pages
