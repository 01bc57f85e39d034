"""`Client`: the API as methods."""

# Written from asynchronous/client.py by: python -m tests.support.client_twin

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Self

from orchestrator.client.synchronous.command_methods import CommandMethods
from orchestrator.client.synchronous.event_methods import EventMethods
from orchestrator.client.synchronous.instance_methods import InstanceMethods
from orchestrator.client.synchronous.operator_methods import Administration
from orchestrator.client.synchronous.transport import Transport
from orchestrator.client.synchronous.workflow_methods import WorkflowMethods
from orchestrator.settings import load_settings

if TYPE_CHECKING:
    from orchestrator.client.synchronous.operations import Api


class Client(
    InstanceMethods,
    CommandMethods,
    WorkflowMethods,
    EventMethods,
    Administration,
):
    """A connection to the API at `url`, with the API key `key`.

    Default: the settings ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY. Every POST carries
    an Idempotency-Key, so that it can be repeated when its answer is lost. A client is also a
    context manager, which closes the connections. `api` has every operation of the API as a typed
    method.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        settings = load_settings()
        self.transport = Transport(url or settings.api_url, key or settings.api_key)

    @cached_property
    def api(self) -> Api:
        """Every operation of the API as a typed method."""
        from orchestrator.client.synchronous.operations import Api  # many types

        return Api(self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()
