"""Methods for secrets and bulk operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.models import Json, Operation, OperationPreview, RotatedSecrets, Secret
from orchestrator.client.url_paths import path
from orchestrator.clock import monotonic

#: Time between two requests for an operation's progress, in seconds.
_POLL_INTERVAL = 0.3


class AsyncAdministration(AsyncResources):
    """The methods of the client for operators."""

    # --- secrets

    async def secrets(self, namespace: str | None = None) -> AsyncIterator[Secret]:
        """Yield secrets by name, without their values. For admins."""
        async for secret in self.pages("/v1/secrets", _within(namespace)):
            yield Secret.from_json(secret)

    async def set_secret(self, name: str, value: Json, namespace: str | None = None) -> Secret:
        """Set a secret, which workflows read as ``$secrets.NAME``: text, or an object with members.

        `namespace` is optional if the API key may access only one.

        Raises `ApiError`: 409 where the API has no key to seal secrets with, 413, 422 where it
        is no name, or the namespace is missing.
        """
        put = {"params": _within(namespace), "json": {"value": value}}
        return Secret.from_json(await self._json("PUT", _secret(name), **put))

    async def delete_secret(self, name: str, namespace: str | None = None) -> None:
        """Delete a secret. Raises `ApiError` 404 if it does not exist."""
        await self.transport.request("DELETE", _secret(name), params=_within(namespace))

    async def rotate_secrets(self) -> RotatedSecrets:
        """Seal every secret anew, with the newest of the keys."""
        return RotatedSecrets.from_json(await self._json("POST", "/v1/secrets/-/rotate"))

    # --- bulk operations

    async def preview(self, action: str, filter: Mapping[str, str]) -> OperationPreview:
        """Return what `operate` would reach, without starting it."""
        body = {"action": action, "filter": dict(filter), "dry_run": True}
        return OperationPreview.from_json(await self._json("POST", "/v1/operations", json=body))

    async def operate(
        self, action: str, filter: Mapping[str, str], reason: str | None = None
    ) -> Operation:
        """Send a command (``"retry"``, ``"cancel"`` ...) to all instances that match a filter, or
        close dead letters (``"dead-letter.retry"``, ``"dead-letter.resolve"``).

        `filter` has the parameters of the API's list of instances, ``{"status": "faulted",
        "workflow": "shop/order"}``; for dead letters `instance` and `namespace`. The operation runs
        in the background: see `wait_operation`. Raises `ApiError` 409 if too many operations are
        open, 422.
        """
        body: dict[str, Any] = {"action": action, "filter": dict(filter)}
        body |= {"reason": reason} if reason else {}
        return Operation.from_json(await self._json("POST", "/v1/operations", json=body))

    async def operations(self, **filters: str) -> AsyncIterator[Operation]:
        """Yield operations, newest first; filters as in the API (``state="running"``)."""
        async for operation in self.pages("/v1/operations", filters):
            yield Operation.from_json(operation)

    async def operation(self, id: str) -> Operation:
        """Return an operation and its progress. Raises `ApiError` 404."""
        return Operation.from_json(await self._json("GET", path("operations", id)))

    async def wait_operation(self, id: str, seconds: float) -> Operation:
        """Wait at most `seconds` for the end of an operation; return its state."""
        deadline = monotonic() + seconds
        while True:
            operation = await self.operation(id)
            if operation.ended or monotonic() >= deadline:
                return operation
            await asyncio.sleep(_POLL_INTERVAL)

    async def stop_operation(self, id: str) -> Operation:
        """Stop an operation. Instances that it has reached keep the command. Raises `ApiError` 409
        if it has ended."""
        return Operation.from_json(await self._json("DELETE", path("operations", id)))


def _secret(name: str) -> str:
    return path("secrets", name)


def _within(namespace: str | None) -> dict[str, str]:
    return {} if namespace is None else {"namespace": namespace}
