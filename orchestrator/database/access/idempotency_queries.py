"""Recorded answers of requests with an idempotency key, written in the transaction of the change.

A key belongs to a scope (its owner); the digest shows whether a second request with the key is the
same request. An advisory lock is held while the first request is being answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.errors import Conflict, OrchestratorError
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's name for its request; `digest` is the SHA-256 of the whole request."""

    scope: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer: its status, the headers to repeat, its body as JSON text."""

    status: int
    body: str
    headers: dict[str, str]


class InFlight(Conflict):
    """The same request is being answered right now."""


class KeyReused(OrchestratorError):
    """The key was used for another request."""


def find(session: Session, key: IdempotencyKey) -> RecordedAnswer | None:
    """Return the recorded answer of the key; None: there is none. Raises `KeyReused`."""
    row = session.one(
        """
        select digest, status, body::text, headers
        from orchestrator.idempotency_records
        where scope = %s and key = %s
        """,
        (key.scope, key.key),
    )
    if row is None:
        return None
    if row[0] != key.digest:
        raise KeyReused
    return RecordedAnswer(row[1], row[2], row[3] or {})


def enter(transaction: Transaction, key: IdempotencyKey) -> RecordedAnswer | None:
    """Lock the key of a request. Return the first answer, if there was one.

    Call it in the transaction that makes the change. Raises `InFlight`, `KeyReused`.
    """
    row = transaction.one(
        "select pg_try_advisory_xact_lock(hashtextextended(%s || ' ' || %s, 0))",
        (key.scope, key.key),
    )
    if row is None or not row[0]:
        raise InFlight
    return find(transaction, key)


def record(transaction: Transaction, key: IdempotencyKey, answer: RecordedAnswer) -> None:
    """Record the answer, in the transaction that made the change."""
    transaction.all(
        """
        insert into orchestrator.idempotency_records (scope, key, digest, status, headers, body)
        values (%s, %s, %s, %s, %s, %s)
        """,
        (key.scope, key.key, key.digest, answer.status, dumps(answer.headers), answer.body),
    )


def purge(session: Session, age: timedelta, limit: int = 1000) -> int:
    """Remove up to `limit` answers older than `age`. Return how many."""
    rows = session.all(
        """
        delete from orchestrator.idempotency_records
        where ctid in (
          select ctid from orchestrator.idempotency_records
          where created_at < (select clock_timestamp()) - %s
          order by created_at limit %s)
        returning 1
        """,
        (age, limit),
    )
    return len(rows)
