"""Operations of the API: graphs."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.url_paths import path

Json = Any


class AsyncGraphsOperations(AsyncResources):
    """The operations of the API: graphs."""

    async def get_workflow_version_graph(self, namespace: str, name: str, version: str) -> t.Graph:
        """The tasks of a version as nested blocks.

        Each has the JSON pointer of its task, and its compensation as `undo`.

        ``GET /v1/workflows/{namespace}/{name}/versions/{version}/graph``
        """
        answer: t.Graph = await self.transport.json(
            "GET",
            path("workflows", namespace, name, "versions", version, "graph"),
        )
        return answer

    async def get_instance_graph(self, id: str) -> t.InstanceGraph:
        """The tasks of an instance as nested blocks, with the statuses of their steps.

        ``GET /v1/instances/{id}/graph``
        """
        answer: t.InstanceGraph = await self.transport.json(
            "GET",
            path("instances", id, "graph"),
        )
        return answer
