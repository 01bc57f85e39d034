"""Operations of the API: secrets."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class SecretsOperations(Resources):
    """The operations of the API: secrets."""

    def list_secrets(
        self,
        *,
        limit: int | None = None,
        namespace: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[t.NamedSecret]:
        """Names of secrets, without their values.

        Only of secrets that were set here. Workers also read secrets from files and environment
        variables, which take precedence.

        ``GET /v1/secrets``
        """
        pages: Iterator[Any] = self.pages(
            path("secrets"), present({"limit": limit, "namespace": namespace, **(more or {})})
        )
        return pages

    def set_secret(
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
        answer: t.NamedSecret = self.transport.json(
            "PUT",
            path("secrets", name),
            params=present({"namespace": namespace, **(more or {})}),
            json=body,
        )
        return answer

    def delete_secret(
        self, name: str, *, namespace: str | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        """Delete a secret.

        ``DELETE /v1/secrets/{name}``
        """
        self.transport.request(
            "DELETE",
            path("secrets", name),
            params=present({"namespace": namespace, **(more or {})}),
        )

    def rotate_secrets(self, *, idempotency_key: str | None = None) -> t.RotatedSecrets:
        """Encrypt every secret with the newest key, those of webhooks too.

        After that the older keys can be removed from the setting.

        ``POST /v1/secrets/-/rotate``
        """
        answer: t.RotatedSecrets = self.transport.json(
            "POST",
            path("secrets", "-", "rotate"),
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer
