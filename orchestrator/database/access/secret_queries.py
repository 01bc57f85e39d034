"""Secrets of workflows that the API has taken: sealed, each for its namespace and name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Page, Scope, equal, page
from orchestrator.errors import Conflict
from orchestrator.log import get_logger
from orchestrator.secrets.encryption import DecryptionFailed, EncryptionKeyMissing, SecretCipher

#: Secrets that one namespace may have.
MOST = 1000

log = get_logger(__name__)


class TooMany(Conflict):
    """The namespace has as many secrets as it may."""


def put(
    session: Session, namespace: str, name: str, sealed: str
) -> tuple[datetime, datetime, bool]:
    """Keep a secret, instead of the one of that name; when it was made and changed, and
    whether it is new. Raises `TooMany`."""
    row = session.one(
        """
        insert into orchestrator.secrets as s (namespace, name, sealed)
        select %(namespace)s, %(name)s, %(sealed)s
        where exists (
            select from orchestrator.secrets
            where namespace = %(namespace)s and name = %(name)s)
          or (select count(*) from orchestrator.secrets where namespace = %(namespace)s) < %(most)s
        on conflict (namespace, name) do update
        set sealed = excluded.sealed, changed_at = clock_timestamp()
        returning created_at, changed_at, xmax = 0
        """,
        {"namespace": namespace, "name": name, "sealed": sealed, "most": MOST},
    )
    if row is None:
        raise TooMany(f"the namespace has {MOST} secrets already")
    return row[0], row[1], row[2]


def remove(session: Session, namespace: str, name: str) -> bool:
    """Forget a secret; whether there was one."""
    row = session.one(
        "delete from orchestrator.secrets where namespace = %s and name = %s returning 1",
        (namespace, name),
    )
    return row is not None


def listed(
    session: Session,
    scope: Scope,
    *,
    namespace: str | None = None,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Names: ``(namespace, name, created_at, changed_at)``, in the order of the alphabet."""
    return page(
        session,
        "select namespace, name, created_at, changed_at from orchestrator.secrets",
        [
            scope.condition("namespace"),
            equal("namespace", namespace or None),
        ],
        order=("namespace", "name"),
        limit=limit,
        after=after,
    )


def renew(
    session: Session, scope: Scope, seal: Callable[[str], str]
) -> tuple[int, list[list[str]]]:
    """Seal every secret anew; how many were, and ``[namespace, name]`` of those that no key
    opens. One that is changed meanwhile is left alone: it has the newest key already."""
    condition, params = scope.condition("namespace") or ("true", {})
    rows = session.all(
        f"""
        select namespace, name, sealed from orchestrator.secrets
        where {condition}
        order by namespace, name
        """,
        dict(params),
    )
    renewed, unreadable = 0, []
    for namespace, name, sealed in rows:
        try:
            new = seal(sealed)
        except DecryptionFailed:
            unreadable.append([namespace, name])
            continue
        found = session.all(
            """
            update orchestrator.secrets set sealed = %s
            where namespace = %s and name = %s and sealed = %s
            returning 1
            """,
            (new, namespace, name, sealed),
        )
        renewed += len(found)
    return renewed, unreadable


def opened(session: Session, vault: SecretCipher, namespace: str, name: str) -> Any:
    """A secret's value at its moment of use; None where there is none that can be read."""
    row = session.one(
        "select sealed from orchestrator.secrets where namespace = %s and name = %s",
        (namespace, name),
    )
    if row is None:
        return None
    try:
        return vault.decrypt((namespace, name), row[0])
    except (EncryptionKeyMissing, DecryptionFailed) as error:
        log.error(
            "A secret can't be read",
            action="secret_unreadable",
            reason=str(error),
            namespace=namespace,
            secret=name,
        )
        return None
