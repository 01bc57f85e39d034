"""``/v1/secrets``: secrets of workflows. They are set and listed by name; no answer has a value.

Setting a secret uses no Idempotency-Key: its record would contain a digest of the secret, and a
PUT may be repeated anyway.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import audit_entry, scope, state, target_namespace
from api.http.authentication import Role
from api.http.problems import Problem
from api.http.request_body import json_body, too_large
from api.http.resource_blueprint import Resource, listing, respond
from api.schemas.events import IntoNamespaceSchema
from api.schemas.secrets import (
    NamedSecretSchema,
    RotatedSecretsSchema,
    SecretSchema,
    SecretsQuerySchema,
    SecretsSchema,
)
from orchestrator import json_codec
from orchestrator.database.access import audit_queries, secret_queries
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.events import subscription_queries
from orchestrator.secrets import webhook_secrets
from orchestrator.secrets.encryption import SecretCipher
from orchestrator.secrets.sources import is_name

#: The most bytes of a secret's JSON.
MAX_BYTES = 64 * 1024

blueprint = Resource("secrets", __name__, url_prefix="/v1/secrets", description="Secrets.")


@blueprint.route("", role=Role.ADMIN)
@blueprint.answers(200, SecretsSchema)
@blueprint.requires(SecretsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Names of secrets, without their values

    Only of secrets that were set here. Workers also read secrets from files and environment
    variables, which take precedence.
    """
    page = secret_queries.listed(
        state().services.database,
        scope(query.get("namespace")),
        namespace=query.get("namespace"),
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.text, page_cursors.text)),
    )
    return listing([_secret_json(*row) for row in page.rows], page_cursors.write(page.last))


@blueprint.route("/<name>", methods=["PUT"], role=Role.ADMIN)
@blueprint.answers(200, NamedSecretSchema, meaning="It replaces the previous value")
@blueprint.answers(201, NamedSecretSchema, meaning="It is new")
@json_body(SecretSchema)
@blueprint.requires(IntoNamespaceSchema)
def put(body: dict[str, Any], query: dict[str, Any], name: str) -> Response:
    """Set a secret

    Workers read it whenever an expression uses `$secrets`, so the next use has the new value.
    """
    namespace = target_namespace(query.get("namespace"))
    if not is_name(name):
        raise Problem(
            problem_types.INVALID, "a name is letters, digits, '.', '_' and '-', at most 253"
        )
    if len(json_codec.encode(body["value"])) > MAX_BYTES:
        raise too_large(MAX_BYTES, "the secret", "")
    ciphertext = _cipher().encrypt((namespace, name), body["value"])
    with state().services.database.transaction() as cursor:
        created, changed, new = secret_queries.put(cursor, namespace, name, ciphertext)
        audit_queries.write(cursor, audit_entry("secret.set", namespace, name))
    return respond(_secret_json(namespace, name, created, changed), 201 if new else 200)


@blueprint.route("/<name>", methods=["DELETE"], role=Role.ADMIN)
@blueprint.answers(204, meaning="It is deleted")
@blueprint.requires(IntoNamespaceSchema)
def delete(query: dict[str, Any], name: str) -> Response:
    """Delete a secret"""
    namespace = target_namespace(query.get("namespace"))
    with state().services.database.transaction() as cursor:
        if not secret_queries.remove(cursor, namespace, name):
            raise Problem(problem_types.NOT_FOUND, f"there is no secret {name[:100]!r}")
        audit_queries.write(cursor, audit_entry("secret.delete", namespace, name))
    return Response(status=204)


@blueprint.route("/-/rotate", methods=["POST"], role=Role.ADMIN)
@blueprint.answers(200, RotatedSecretsSchema)
def rotate() -> Response:
    """Encrypt every secret with the newest key, those of webhooks too

    After that the older keys can be removed from the setting.
    """
    return idempotency.run_idempotent(partial(_rotate, _cipher()))


def _rotate(cipher: SecretCipher, cursor: Transaction) -> RecordedAnswer:
    rotated, unreadable = secret_queries.reencrypt_all(cursor, scope(), cipher.reencrypt)
    webhooks, unreadable_webhooks = subscription_queries.reencrypt_all(
        cursor, scope(), partial(webhook_secrets.reencrypted, cipher)
    )
    rotated, unreadable = rotated + webhooks, unreadable + unreadable_webhooks
    audit_queries.write(
        cursor, audit_entry("secret.rotate", rotated=rotated, unreadable=len(unreadable))
    )
    return idempotency.recordable(200, {"rotated": rotated, "unreadable": unreadable})


def _cipher() -> SecretCipher:
    cipher = state().services.cipher
    if not cipher.ready:
        raise Problem(
            problem_types.NO_SECRETS_KEY, "set ORCHESTRATOR_SECRETS_KEY for API and workers"
        )
    return cipher


def _secret_json(namespace: str, name: str, created_at: Any, changed_at: Any) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": name,
        "created_at": created_at,
        "changed_at": changed_at,
    }
