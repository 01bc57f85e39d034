"""Operations of the API: me."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.url_paths import path

Json = Any


class AsyncMeOperations(AsyncResources):
    """The operations of the API: me."""

    async def get_me(self) -> t.Me:
        """The caller, their role and namespaces.

        ``GET /v1/me``
        """
        answer: t.Me = await self.transport.json(
            "GET",
            path("me"),
        )
        return answer
