"""The client: start workflows and query them, from any Python program.

    from orchestrator.client import AsyncClient, Client

    run = Client().start("shop/order", {"id": "o-1"}, wait=30)
    print(run.status, run.output)

    async with AsyncClient() as client:
        run = await client.start("shop/order", {"id": "o-1"}, wait=30)

Both raise `ApiError` if the API refuses a request, `Unreachable` if it does not answer.
`client.api` has every operation of the API, with the types of `orchestrator.client.api_types`.
"""

from typing import TYPE_CHECKING, Any

from orchestrator.client.errors import ApiError, Unreachable
from orchestrator.client.models import (
    Attempt,
    Deployed,
    Operation,
    OperationPreview,
    RotatedSecrets,
    Run,
    Secret,
    Step,
)
from orchestrator.client.synchronous.client import Client

if TYPE_CHECKING:
    from orchestrator.client.asynchronous.client import AsyncClient

__all__ = [
    "ApiError",
    "AsyncClient",
    "Attempt",
    "Client",
    "Deployed",
    "Operation",
    "OperationPreview",
    "RotatedSecrets",
    "Run",
    "Secret",
    "Step",
    "Unreachable",
]


def __getattr__(name: str) -> Any:
    """Import the asynchronous client when it is first used: asyncio is a third of all imports."""
    if name == "AsyncClient":
        from orchestrator.client.asynchronous.client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
