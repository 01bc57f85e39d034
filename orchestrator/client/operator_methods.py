"""Secrets, and operations: one command to many."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client.models import Json, Operation, OperationPreview, RotatedSecrets, Secret
from orchestrator.client.resource_base import Resources
from orchestrator.client.url_paths import path
from orchestrator.clock import monotonic

#: Between two looks how far an operation is, in seconds: nothing tells of it.
_LOOK_AGAIN = 0.3


class Administration(Resources):
    """The methods of `Client` for those who run workflows."""

    # --- secrets

    def secrets(self, namespace: str | None = None) -> Iterator[Secret]:
        """The names of secrets, in their order; values never come back. For admins."""
        return map(Secret.from_json, self.pages("/v1/secrets", _within(namespace)))

    def set_secret(self, name: str, value: Json, namespace: str | None = None) -> Secret:
        """Set a secret, which workflows find as ``$secrets.NAME``: text, or an object with
        members. `namespace` may be left out where the key opens just one.

        Raises `ApiError`: 409 where the API has no key to seal secrets with, 413, 422 where it
        is no name, or the namespace is missing.
        """
        put = {"params": _within(namespace), "json": {"value": value}}
        return Secret.from_json(self._json("PUT", _secret(name), **put))

    def delete_secret(self, name: str, namespace: str | None = None) -> None:
        """Forget a secret. Raises `ApiError` 404 where there is none."""
        self.transport.request("DELETE", _secret(name), params=_within(namespace))

    def rotate_secrets(self) -> RotatedSecrets:
        """Seal every secret anew, with the newest of the keys."""
        return RotatedSecrets.from_json(self._json("POST", "/v1/secrets/-/rotate"))

    # --- operations

    def preview(self, action: str, filter: Mapping[str, str]) -> OperationPreview:
        """What `operate` would reach; nothing is done."""
        body = {"action": action, "filter": dict(filter), "dry_run": True}
        return OperationPreview.from_json(self._json("POST", "/v1/operations", json=body))

    def operate(
        self, action: str, filter: Mapping[str, str], reason: str | None = None
    ) -> Operation:
        """Give a command (``"retry"``, ``"cancel"`` ...) to all instances that a filter names,
        or settle dead letters (``"dead-letter.retry"``, ``"dead-letter.resolve"``).

        `filter` has the parameters of the API's list of instances, ``{"status": "faulted",
        "workflow": "shop/order"}``; for dead letters `instance` and `namespace`. It is worked
        off in the background: see `wait_operation`. Raises `ApiError` 409 where too many stand
        already, 422.
        """
        body: dict[str, Any] = {"action": action, "filter": dict(filter)}
        body |= {"reason": reason} if reason else {}
        return Operation.from_json(self._json("POST", "/v1/operations", json=body))

    def operations(self, **filters: str) -> Iterator[Operation]:
        """Operations, the newest first; filters as the API names them (``state="running"``)."""
        return map(Operation.from_json, self.pages("/v1/operations", filters))

    def operation(self, id: str) -> Operation:
        """An operation and how far it is. Raises `ApiError` 404."""
        return Operation.from_json(self._json("GET", path("operations", id)))

    def wait_operation(self, id: str, seconds: float) -> Operation:
        """An operation once it has ended, or as it stands when time is over."""
        until = monotonic() + seconds
        while True:
            found = self.operation(id)
            if found.ended or monotonic() >= until:
                return found
            time.sleep(_LOOK_AGAIN)

    def stop_operation(self, id: str) -> Operation:
        """Stop an operation; whom it has reached stays reached. Raises `ApiError` 409 where it
        has ended."""
        return Operation.from_json(self._json("DELETE", path("operations", id)))


def _secret(name: str) -> str:
    return path("secrets", name)


def _within(namespace: str | None) -> dict[str, str]:
    return {} if namespace is None else {"namespace": namespace}
