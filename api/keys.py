"""``/v1/keys``: API keys, made and revoked by admins. A key is shown once, when it is made."""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import partial
from typing import Any

from flask import Response

from api import cursors, keyed, kinds
from api.auth import Role, digest
from api.bodies import takes
from api.context import entry, scope, state
from api.instances import identified
from api.moments import moment_at
from api.problems import Problem
from api.resource import Resource, listing
from api.schemas.administration import KeysSchema, MadeKeySchema, NewKeySchema
from api.schemas.common import PageSchema
from orchestrator.database import audit, keys
from orchestrator.database.connection import Transaction
from orchestrator.database.idempotency import Answer
from orchestrator.database.keys import ALL, MOST_LIVE, KeyRow, opened
from orchestrator.ids import new_id

blueprint = Resource("keys", __name__, url_prefix="/v1/keys", description="API keys.")


@blueprint.route("", methods=["POST"], role=Role.ADMIN)
@blueprint.answers(201, MadeKeySchema)
@takes(NewKeySchema)
def make(body: dict[str, Any]) -> Response:
    """Make an API key

    The answer shows it once. Two keys of a name, for the same namespaces, can live at once, so
    that one can replace the other without a gap.
    """
    _check_namespaces(body["namespaces"])
    key, secret = new_key(body)
    return keyed.change(partial(_put, key), reveal=keyed.showing("key", secret))


@blueprint.route("", role=Role.ADMIN)
@blueprint.answers(200, KeysSchema)
@blueprint.asks(PageSchema)
def list_(query: dict[str, Any]) -> Response:
    """Keys, without their secrets, the newest first"""
    after = cursors.read(query["cursor"], (cursors.moment, cursors.id))
    page = keys.listed(state().services.database, scope(), limit=query["limit"], after=after)
    return listing([_shown(*row) for row in page.rows], cursors.write(page.last))


@blueprint.route("/<id:id>", methods=["DELETE"], role=Role.ADMIN)
@blueprint.answers(204, meaning="It is revoked")
def revoke(id: str) -> Response:
    """Revoke a key"""
    with state().services.database.transaction() as cursor:
        gone = keys.revoke(cursor, identified(id), scope())
        if gone is None:
            raise Problem(kinds.NOT_FOUND, f"there is no live key {id}")
        audit.write(cursor, entry("key.revoke", target=id, name=gone[1]))
    state().authenticator.forget(gone[0])
    return Response(status=204)


def new_key(asked: dict[str, Any]) -> tuple[KeyRow, str]:
    """A key of this name, role and namespaces, and what to show to whom it is for."""
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    expires = asked.get("expires_at")
    key = KeyRow(
        id=new_id(),
        prefix=prefix,
        hash=digest(secret),
        name=asked["name"],
        role=asked["role"],
        namespaces=opened(asked["namespaces"]),
        expires_at=moment_at("/expires_at", expires) if expires else None,
    )
    return key, f"{prefix}.{secret}"


def _check_namespaces(namespaces: list[str]) -> None:
    """Nobody makes a key that opens more than their own does."""
    allowed = scope()
    for namespace in namespaces:
        if not allowed.has(namespace) and not (namespace == ALL and allowed.namespaces is None):
            raise Problem(kinds.NOT_FOUND, f"there is no namespace {namespace[:100]!r}")


def _put(key: KeyRow, cursor: Transaction) -> Answer:
    if keys.live(cursor, key) >= MOST_LIVE:
        raise Problem(kinds.CONFLICT, f"{MOST_LIVE} keys of the name {key.name!r} live already")
    made = keys.put(cursor, key)
    opens = list(key.namespaces)
    audit.write(cursor, entry("key.make", target=key.id, name=key.name, role=key.role, opens=opens))
    shown = _shown(
        made, key.id, key.prefix, key.name, key.role, key.namespaces, key.expires_at, None
    )
    return keyed.answered(201, {**shown, "key": None})


def _shown(
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
