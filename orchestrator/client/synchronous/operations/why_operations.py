"""Operations of the API: why."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class WhyOperations(Resources):
    """The operations of the API: why."""

    def get_instance_why(self, id: str) -> t.Why:
        """Why the instance waits.

        ``GET /v1/instances/{id}/why``
        """
        answer: t.Why = self.transport.json(
            "GET",
            path("instances", id, "why"),
        )
        return answer
