"""`AsyncClient`: the API as methods."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Self

from orchestrator.client.asynchronous.command_methods import AsyncCommandMethods
from orchestrator.client.asynchronous.event_methods import AsyncEventMethods
from orchestrator.client.asynchronous.instance_methods import AsyncInstanceMethods
from orchestrator.client.asynchronous.operator_methods import AsyncAdministration
from orchestrator.client.asynchronous.transport import AsyncTransport
from orchestrator.client.asynchronous.workflow_methods import AsyncWorkflowMethods
from orchestrator.settings import load_settings

if TYPE_CHECKING:
    from orchestrator.client.asynchronous.operations import AsyncApi


class AsyncClient(
    AsyncInstanceMethods,
    AsyncCommandMethods,
    AsyncWorkflowMethods,
    AsyncEventMethods,
    AsyncAdministration,
):
    """A connection to the API at `url`, with the API key `key`.

    Default: the settings ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY. Every POST carries
    an Idempotency-Key, so that it can be repeated when its answer is lost. A client is also a
    context manager, which closes the connections. `api` has every operation of the API as a typed
    method.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        settings = load_settings()
        self.transport = AsyncTransport(url or settings.api_url, key or settings.api_key)

    @cached_property
    def api(self) -> AsyncApi:
        """Every operation of the API as a typed method."""
        from orchestrator.client.asynchronous.operations import AsyncApi  # many types

        return AsyncApi(self.transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()
