"""Operations of the API: doctor."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.url_paths import path

Json = Any


class AsyncDoctorOperations(AsyncResources):
    """The operations of the API: doctor."""

    async def get_doctor(self) -> t.Doctor:
        """What is not in order, and what to do about it.

        The findings of `orchestrator doctor`, which can repair them. A report is at least 10 s
        old before the next one is made: see `checked_at`. A key for some namespaces gets the
        findings about processes, and those about its own instances.

        ``GET /v1/doctor``
        """
        answer: t.Doctor = await self.transport.json(
            "GET",
            path("doctor"),
        )
        return answer
