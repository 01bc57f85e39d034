"""Secrets of workflows that the API stores: encrypted, each for its namespace and name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Page, Scope, equal, page
from orchestrator.errors import Conflict
from orchestrator.log import get_logger
from orchestrator.secrets.encryption import DecryptionFailed, EncryptionKeyMissing, SecretCipher

#: Largest number of secrets of one namespace.
MOST = 1000

log = get_logger(__name__)


class TooMany(Conflict):
    """The namespace has as many secrets as it may."""


def put(
    session: Session, namespace: str, name: str, ciphertext: str
) -> tuple[datetime, datetime, bool]:
    """Store a secret, replacing one of the same name. Return when it was created and changed, and
    whether it is new. Raises `TooMany`."""
    row = session.one(
        """
        insert into orchestrator.secrets as s (namespace, name, ciphertext)
        select %(namespace)s, %(name)s, %(ciphertext)s
        where exists (
            select from orchestrator.secrets
            where namespace = %(namespace)s and name = %(name)s)
          or (select count(*) from orchestrator.secrets where namespace = %(namespace)s) < %(most)s
        on conflict (namespace, name) do update
        set ciphertext = excluded.ciphertext, changed_at = clock_timestamp()
        returning created_at, changed_at, xmax = 0
        """,
        {"namespace": namespace, "name": name, "ciphertext": ciphertext, "most": MOST},
    )
    if row is None:
        raise TooMany(f"the namespace has {MOST} secrets already")
    return row[0], row[1], row[2]


def remove(session: Session, namespace: str, name: str) -> bool:
    """Remove a secret. Return whether there was one."""
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
    """Return names in alphabetical order: ``(namespace, name, created_at, changed_at)``."""
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


def reencrypt_all(
    session: Session, scope: Scope, encrypt: Callable[[str], str]
) -> tuple[int, list[list[str]]]:
    """Encrypt every secret again. Return how many were, and ``[namespace, name]`` of those that no
    key decrypts.

    A secret that is changed meanwhile is left: it has the newest key already.
    """
    condition, params = scope.condition("namespace") or ("true", {})
    rows = session.all(
        f"""
        select namespace, name, ciphertext from orchestrator.secrets
        where {condition}
        order by namespace, name
        """,
        dict(params),
    )
    rotated, unreadable = 0, []
    for namespace, name, ciphertext in rows:
        try:
            encrypted = encrypt(ciphertext)
        except DecryptionFailed:
            unreadable.append([namespace, name])
            continue
        updated = session.all(
            """
            update orchestrator.secrets set ciphertext = %s
            where namespace = %s and name = %s and ciphertext = %s
            returning 1
            """,
            (encrypted, namespace, name, ciphertext),
        )
        rotated += len(updated)
    return rotated, unreadable


def read_decrypted(session: Session, cipher: SecretCipher, namespace: str, name: str) -> Any:
    """Return a secret's value at the moment of its use; None where there is none, or it can't be
    decrypted."""
    row = session.one(
        "select ciphertext from orchestrator.secrets where namespace = %s and name = %s",
        (namespace, name),
    )
    if row is None:
        return None
    try:
        return cipher.decrypt((namespace, name), row[0])
    except (EncryptionKeyMissing, DecryptionFailed) as error:
        log.error(
            "A secret can't be read",
            action="secret_unreadable",
            reason=str(error),
            namespace=namespace,
            secret=name,
        )
        return None
