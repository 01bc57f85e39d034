"""Answers already given to keyed requests, recorded in the transaction of the change itself.

A key belongs to a scope (whose key it is); the digest tells whether a second request with
it is the same request. While the first is being answered, an advisory lock says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.errors import Conflict, OrchestratorError
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class Key:
    """What a client calls its request: `digest` is the SHA-256 of all that makes it up."""

    scope: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, the headers worth repeating, its body as JSON text."""

    status: int
    body: str
    headers: dict[str, str]


class InFlight(Conflict):
    """The same request is being answered right now."""


class KeyReused(OrchestratorError):
    """The key was used for another request."""


def find(session: Session, key: Key) -> Answer | None:
    """The answer that was given to the key; None: none yet. Raises `KeyReused`."""
    row = session.one(
        """
        select digest, status, body::text, headers
        from orchestrator.idempotency
        where scope = %s and key = %s
        """,
        (key.scope, key.key),
    )
    if row is None:
        return None
    if row[0] != key.digest:
        raise KeyReused
    return Answer(row[1], row[2], row[3] or {})


def enter(transaction: Transaction, key: Key) -> Answer | None:
    """Begin to answer a keyed request; the first answer, if there was one.

    To be called inside the transaction that makes the change. Raises `InFlight`, `KeyReused`.
    """
    row = transaction.one(
        "select pg_try_advisory_xact_lock(hashtextextended(%s || ' ' || %s, 0))",
        (key.scope, key.key),
    )
    if row is None or not row[0]:
        raise InFlight
    return find(transaction, key)


def record(transaction: Transaction, key: Key, answer: Answer) -> None:
    """Keep the answer, in the transaction that made the change."""
    transaction.all(
        """
        insert into orchestrator.idempotency (scope, key, digest, status, headers, body)
        values (%s, %s, %s, %s, %s, %s)
        """,
        (key.scope, key.key, key.digest, answer.status, dumps(answer.headers), answer.body),
    )


def forget(session: Session, age: timedelta, limit: int = 1000) -> int:
    """Remove up to `limit` answers older than `age`; how many were removed."""
    rows = session.all(
        """
        delete from orchestrator.idempotency
        where ctid in (
          select ctid from orchestrator.idempotency
          where created_at < (select clock_timestamp()) - %s
          order by created_at limit %s)
        returning 1
        """,
        (age, limit),
    )
    return len(rows)
