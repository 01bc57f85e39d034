"""Operations of the API: secrets."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncSecretsOperations(AsyncResources):
    """The operations of the API: secrets."""

    def list_secrets(
        self,
        *,
        limit: int | None = None,
        namespace: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.NamedSecret]:
        """Names of secrets, without their values.

        Only of secrets that were set here. Workers also read secrets from files and environment
        variables, which take precedence.

        ``GET /v1/secrets``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("secrets"), present({"limit": limit, "namespace": namespace, **(more or {})})
        )
        return pages

    async def set_secret(
        self,
        name: str,
        body: t.Secret,
        *,
        namespace: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.NamedSecret:
        """Set a secret.

        Workers read it whenever an expression uses `$secrets`, so the next use has the new
        value.

        ``PUT /v1/secrets/{name}``
        """
        answer: t.NamedSecret = await self.transport.json(
            "PUT",
            path("secrets", name),
            params=present({"namespace": namespace, **(more or {})}),
            json=body,
        )
        return answer

    async def delete_secret(
        self, name: str, *, namespace: str | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        """Delete a secret.

        ``DELETE /v1/secrets/{name}``
        """
        await self.transport.request(
            "DELETE",
            path("secrets", name),
            params=present({"namespace": namespace, **(more or {})}),
        )

    async def rotate_secrets(self, *, idempotency_key: str | None = None) -> t.RotatedSecrets:
        """Encrypt every secret with the newest key, those of webhooks too.

        After that the older keys can be removed from the setting.

        ``POST /v1/secrets/-/rotate``
        """
        answer: t.RotatedSecrets = await self.transport.json(
            "POST",
            path("secrets", "-", "rotate"),
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer
