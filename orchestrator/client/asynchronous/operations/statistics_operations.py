"""Operations of the API: statistics."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncStatisticsOperations(AsyncResources):
    """The operations of the API: statistics."""

    async def get_workflow_statistics(
        self,
        namespace: str,
        name: str,
        *,
        since: str | None = None,
        until: str | None = None,
        version: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.Statistics:
        """What the instances of a time range did, by task.

        At most the newest 2,000 instances are read, and the last 500 steps of each.

        ``GET /v1/workflows/{namespace}/{name}/statistics``
        """
        answer: t.Statistics = await self.transport.json(
            "GET",
            path("workflows", namespace, name, "statistics"),
            params=present({"since": since, "until": until, "version": version, **(more or {})}),
        )
        return answer

    async def get_workflow_diff(
        self,
        namespace: str,
        name: str,
        *,
        from_: str,
        to: str,
        more: Mapping[str, str] | None = None,
    ) -> t.Diff:
        """How two versions differ, by the lines of their deployed texts and by task.

        ``GET /v1/workflows/{namespace}/{name}/diff``
        """
        answer: t.Diff = await self.transport.json(
            "GET",
            path("workflows", namespace, name, "diff"),
            params=present({"from": from_, "to": to, **(more or {})}),
        )
        return answer
