"""The client: start workflows and query them, from any Python program.

    from orchestrator.client import Client

    run = Client().start("shop/order", {"id": "o-1"}, wait=30)
    print(run.status, run.output)

`Client` raises `ApiError` if the API refuses a request, `Unreachable` if it does not answer.
"""

from orchestrator.client.client import Client
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
from orchestrator.client.transport import ApiError, Unreachable

__all__ = [
    "ApiError",
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
