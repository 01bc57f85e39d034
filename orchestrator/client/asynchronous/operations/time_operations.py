"""Operations of the API: time."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.url_paths import path

Json = Any


class AsyncTimeOperations(AsyncResources):
    """The operations of the API: time."""

    async def get_instance_time(self, id: str) -> t.TimeAccount:
        """The time of an instance by kind, of its steps, and its critical path.

        ``GET /v1/instances/{id}/time``
        """
        answer: t.TimeAccount = await self.transport.json(
            "GET",
            path("instances", id, "time"),
        )
        return answer
