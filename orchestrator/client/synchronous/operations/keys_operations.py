"""Operations of the API: keys."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class KeysOperations(Resources):
    """The operations of the API: keys."""

    def list_keys(
        self, *, limit: int | None = None, more: Mapping[str, str] | None = None
    ) -> Iterator[t.Key]:
        """Keys, without their secrets, the newest first.

        ``GET /v1/keys``
        """
        pages: Iterator[Any] = self.pages(path("keys"), present({"limit": limit, **(more or {})}))
        return pages

    def create_key(self, body: t.NewKey, *, idempotency_key: str | None = None) -> t.NewKeySecret:
        """Create an API key.

        Only this answer shows it. Two keys of a name and the same namespaces can be valid at
        once, so that one replaces the other without a gap.

        ``POST /v1/keys``
        """
        answer: t.NewKeySecret = self.transport.json(
            "POST", path("keys"), json=body, headers=present({"Idempotency-Key": idempotency_key})
        )
        return answer

    def delete_key(self, id: str) -> None:
        """Revoke a key.

        ``DELETE /v1/keys/{id}``
        """
        self.transport.request(
            "DELETE",
            path("keys", id),
        )
