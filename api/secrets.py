"""``/v1/secrets``: secrets of workflows, taken, listed by name and never given back.

Not the Idempotency-Key's way: its record would hold a digest of the secret, and a PUT may be
repeated anyhow.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response

from api import cursors, keyed, kinds
from api.auth import Role
from api.bodies import takes, too_large
from api.context import entry, scope, state
from api.events import into
from api.problems import Problem
from api.resource import Resource, listing, respond
from api.schemas.events import IntoNamespaceSchema
from api.schemas.secrets import (
    NamedSecretSchema,
    RenewedSchema,
    SecretSchema,
    SecretsQuerySchema,
    SecretsSchema,
)
from orchestrator import codec
from orchestrator.database import audit, secrets
from orchestrator.database.connection import Transaction
from orchestrator.database.idempotency import Answer
from orchestrator.secrets import is_name
from orchestrator.vault import Vault

#: The largest secret, in bytes of JSON.
LARGEST = 64 * 1024

blueprint = Resource("secrets", __name__, url_prefix="/v1/secrets", description="Secrets.")


@blueprint.route("", role=Role.ADMIN)
@blueprint.answers(200, SecretsSchema)
@blueprint.asks(SecretsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Names of secrets, without their values

    Only of those that were put here: workers also know those that their files and their
    environment hold, which come first.
    """
    page = secrets.listed(
        state().services.database,
        scope(query.get("namespace")),
        namespace=query.get("namespace"),
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.text, cursors.text)),
    )
    return listing([_shown(*row) for row in page.rows], cursors.write(page.last))


@blueprint.route("/<name>", methods=["PUT"], role=Role.ADMIN)
@blueprint.answers(200, NamedSecretSchema, meaning="It takes the place of the one before")
@blueprint.answers(201, NamedSecretSchema, meaning="It is new")
@takes(SecretSchema)
@blueprint.asks(IntoNamespaceSchema)
def put(body: dict[str, Any], query: dict[str, Any], name: str) -> Response:
    """Set a secret

    Workers read it when an expression uses `$secrets`, so the next use has the new value.
    """
    namespace = into(query.get("namespace"))
    if not is_name(name):
        raise Problem(kinds.INVALID, "a name is letters, digits, '.', '_' and '-', at most 253")
    if len(codec.encode(body["value"])) > LARGEST:
        raise too_large(LARGEST, "the secret", "")
    sealed = _vault().seal((namespace, name), body["value"])
    with state().services.database.transaction() as cursor:
        created, changed, new = secrets.put(cursor, namespace, name, sealed)
        audit.write(cursor, entry("secret.set", namespace, name))
    return respond(_shown(namespace, name, created, changed), 201 if new else 200)


@blueprint.route("/<name>", methods=["DELETE"], role=Role.ADMIN)
@blueprint.answers(204, meaning="It is gone")
@blueprint.asks(IntoNamespaceSchema)
def delete(query: dict[str, Any], name: str) -> Response:
    """Forget a secret"""
    namespace = into(query.get("namespace"))
    with state().services.database.transaction() as cursor:
        if not secrets.remove(cursor, namespace, name):
            raise Problem(kinds.NOT_FOUND, f"there is no secret {name[:100]!r}")
        audit.write(cursor, entry("secret.delete", namespace, name))
    return Response(status=204)


@blueprint.route("/-/rotate", methods=["POST"], role=Role.ADMIN)
@blueprint.answers(200, RenewedSchema)
def rotate() -> Response:
    """Seal every secret anew, with the newest key

    Once it is done, the older keys can be taken out of the setting.
    """
    return keyed.change(partial(_rotated, _vault()))


def _rotated(vault: Vault, cursor: Transaction) -> Answer:
    renewed, unreadable = secrets.renew(cursor, scope(), vault.renew)
    audit.write(cursor, entry("secret.rotate", renewed=renewed, unreadable=len(unreadable)))
    return keyed.answered(200, {"renewed": renewed, "unreadable": unreadable})


def _vault() -> Vault:
    vault = state().services.vault
    if not vault.ready:
        raise Problem(kinds.NO_SECRETS_KEY, "set ORCHESTRATOR_SECRETS_KEY for API and workers")
    return vault


def _shown(namespace: str, name: str, created_at: Any, changed_at: Any) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": name,
        "created_at": created_at,
        "changed_at": changed_at,
    }
