"""``/v1/keys``: API keys, created and revoked by admins. Only the creating answer shows a key."""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import partial
from typing import Any

from flask import Response

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import audit_entry, scope, state
from api.http.authentication import Role, digest
from api.http.problems import Problem
from api.http.request_body import json_body, moment_at
from api.http.resource_blueprint import Resource, listing
from api.resources.instances import identified
from api.schemas.common import PageSchema
from api.schemas.system_overview import KeysSchema, NewKeySchema, NewKeySecretSchema
from orchestrator.database.access import api_key_queries, audit_queries
from orchestrator.database.access.api_key_queries import ALL, MOST_LIVE, KeyRow, normalized
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.ids import new_id

blueprint = Resource("keys", __name__, url_prefix="/v1/keys", description="API keys.")


@blueprint.route("", methods=["POST"], role=Role.ADMIN)
@blueprint.answers(201, NewKeySecretSchema)
@json_body(NewKeySchema)
def make(body: dict[str, Any]) -> Response:
    """Create an API key

    Only this answer shows it. Two keys of a name and the same namespaces can be valid at once,
    so that one replaces the other without a gap.
    """
    _check_namespaces(body["namespaces"])
    key, secret = new_key(body)
    return idempotency.run_idempotent(
        partial(_put, key), reveal=idempotency.reveal_secret("key", secret)
    )


@blueprint.route("", role=Role.ADMIN)
@blueprint.answers(200, KeysSchema)
@blueprint.requires(PageSchema)
def list_(query: dict[str, Any]) -> Response:
    """Keys, without their secrets, the newest first"""
    after = page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id))
    page = api_key_queries.listed(
        state().services.database, scope(), limit=query["limit"], after=after
    )
    return listing([_key_json(*row) for row in page.rows], page_cursors.write(page.last))


@blueprint.route("/<id:id>", methods=["DELETE"], role=Role.ADMIN)
@blueprint.answers(204, meaning="It is revoked")
def revoke(id: str) -> Response:
    """Revoke a key"""
    with state().services.database.transaction() as cursor:
        revoked = api_key_queries.revoke(cursor, identified(id), scope())
        if revoked is None:
            raise Problem(problem_types.NOT_FOUND, f"there is no valid key {id}")
        audit_queries.write(cursor, audit_entry("key.revoke", target=id, name=revoked[1]))
    state().authenticator.evict(revoked[0])
    return Response(status=204)


def new_key(request: dict[str, Any]) -> tuple[KeyRow, str]:
    """Return the row of a new key, and the key itself, ``prefix.secret``."""
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    expires = request.get("expires_at")
    key = KeyRow(
        id=new_id(),
        prefix=prefix,
        hash=digest(secret),
        name=request["name"],
        role=request["role"],
        namespaces=normalized(request["namespaces"]),
        expires_at=moment_at("/expires_at", expires) if expires else None,
    )
    return key, f"{prefix}.{secret}"


def _check_namespaces(namespaces: list[str]) -> None:
    """Refuse namespaces that the caller may not access. Raises `Problem` 404."""
    allowed = scope()
    for namespace in namespaces:
        if not allowed.has(namespace) and not (namespace == ALL and allowed.namespaces is None):
            raise Problem(problem_types.NOT_FOUND, f"there is no namespace {namespace[:100]!r}")


def _put(key: KeyRow, cursor: Transaction) -> RecordedAnswer:
    if api_key_queries.count_live(cursor, key) >= MOST_LIVE:
        raise Problem(
            problem_types.CONFLICT, f"{MOST_LIVE} keys of the name {key.name!r} are valid already"
        )
    created_at = api_key_queries.put(cursor, key)
    opens = list(key.namespaces)
    audit_queries.write(
        cursor, audit_entry("key.make", target=key.id, name=key.name, role=key.role, opens=opens)
    )
    answer = _key_json(
        created_at, key.id, key.prefix, key.name, key.role, key.namespaces, key.expires_at, None
    )
    return idempotency.recordable(201, {**answer, "key": None})


def _key_json(
    created_at: datetime,
    id: str,
    prefix: str,
    name: str,
    role: str,
    namespaces: Any,
    expires_at: datetime | None,
    revoked_at: datetime | None,
) -> dict[str, Any]:
    return {
        "id": id,
        "prefix": prefix,
        "name": name,
        "role": role,
        "namespaces": list(namespaces),
        "created_at": created_at,
        "expires_at": expires_at,
        "revoked_at": revoked_at,
    }
