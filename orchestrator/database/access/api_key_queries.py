"""API keys: their data, never the keys themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Condition, Page, Scope, page

#: Stands for all namespaces in a key's list.
ALL = "*"
#: While a new key replaces an old one of its name and namespaces, both are valid.
MOST_LIVE = 2


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key; `hash` is the SHA-256 of its secret."""

    id: str
    prefix: str
    hash: bytes
    name: str
    role: str
    namespaces: tuple[str, ...]
    expires_at: datetime | None

    @property
    def scope(self) -> tuple[str, ...] | None:
        """The namespaces that the key opens; None: all of them."""
        return None if ALL in self.namespaces else self.namespaces

    @property
    def owner(self) -> str:
        """The owner of the key: the same for the key that replaces it, and for no other.

        A name alone is not enough: the admins of any namespace choose names freely.
        """
        whose = f"{','.join(normalized(self.namespaces))} {self.name}"
        return hashlib.sha256(whose.encode()).hexdigest()


def normalized(namespaces: Iterable[str]) -> tuple[str, ...]:
    """Return the same namespaces in the form in which they are stored."""
    names = set(namespaces)
    return (ALL,) if ALL in names else tuple(sorted(names))


def find_valid(session: Session, prefix: str) -> KeyRow | None:
    """Return the key with this prefix unless it is revoked or has expired."""
    row = session.one(
        """
        select id::text, prefix, hash, name, role, namespaces, expires_at
        from orchestrator.api_keys
        where prefix = %s and revoked_at is null
          and (expires_at is null or expires_at > clock_timestamp())
        """,
        (prefix,),
    )
    return (
        KeyRow(row[0], row[1], bytes(row[2]), row[3], row[4], tuple(row[5]), row[6])
        if row
        else None
    )


def put(session: Session, key: KeyRow) -> datetime:
    """Add a key. Return when it was created."""
    row = session.one(
        """
        insert into orchestrator.api_keys (id, prefix, hash, name, role, namespaces, expires_at)
        values (%s, %s, %s, %s, %s, %s, %s)
        returning created_at
        """,
        (key.id, key.prefix, key.hash, key.name, key.role, list(key.namespaces), key.expires_at),
    )
    assert row is not None  # noqa: S101  an insert with returning has a row
    made: datetime = row[0]
    return made


def exists(session: Session, prefix: str) -> bool:
    """Whether there is, or ever was, a key with this prefix."""
    return bool(session.one("select 1 from orchestrator.api_keys where prefix = %s", (prefix,)))


def count_live(transaction: Transaction, key: KeyRow) -> int:
    """Return how many valid keys this key's owner has: two while one replaces the other.

    Other transactions can't count them until this one ends, so that they count what it adds.
    """
    row = transaction.one(
        """
        select pg_advisory_xact_lock(hashtextextended('keys ' || %(owner)s, 0));
        select count(*) from orchestrator.api_keys
        where name = %(name)s and revoked_at is null
          and (expires_at is null or expires_at > clock_timestamp())
          and namespaces @> %(opened)s::text[] and namespaces <@ %(opened)s::text[]
        """,
        {"owner": key.owner, "name": key.name, "opened": list(key.namespaces)},
    )
    return int(row[0]) if row else 0


def _within(scope: Scope) -> Condition:
    """Only keys whose namespaces are all within the scope."""
    if scope.namespaces is None:
        return None
    return ("namespaces <@ %(within)s", {"within": list(scope.namespaces)})


def revoke(transaction: Transaction, id: str, scope: Scope) -> tuple[str, str] | None:
    """Revoke a key. Return its prefix and name; None where no valid key has the id."""
    condition, params = _within(scope) or ("true", {})
    row = transaction.one(
        f"""
        update orchestrator.api_keys set revoked_at = clock_timestamp()
        where id = %(id)s and revoked_at is null and {condition}
        returning prefix, name
        """,
        {"id": id, **params},
    )
    return (row[0], row[1]) if row else None


def listed(
    session: Session, scope: Scope, *, limit: int = 50, after: Sequence[Any] | None = None
) -> Page:
    """Return keys, newest first: ``(created_at, id, prefix, name, role, namespaces, expires_at,
    revoked_at)``; only those whose namespaces are all within the scope."""
    return page(
        session,
        """
        select created_at, id::text, prefix, name, role, namespaces, expires_at, revoked_at
        from orchestrator.api_keys
        """,
        [_within(scope)],
        order=("created_at", "id"),
        descending=True,
        limit=limit,
        after=after,
    )
