"""Sessions of people in browsers: their data, never their ids, of which only a hash is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.access.api_key_queries import KeyRow
from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that was begun with an API key: the key as it is now, and when the session ends."""

    key: KeyRow
    expires_at: datetime


def put(
    session: Session, id_hash: bytes, key: str, seconds: float, address: str | None
) -> datetime:
    """Begin a session with a key. Return when it ends. Sessions that have ended are removed."""
    row = session.one(
        """
        with ended as (delete from orchestrator.sessions where expires_at < clock_timestamp())
        insert into orchestrator.sessions (hash, key_id, expires_at, address)
        values (%s, %s, clock_timestamp() + %s * interval '1 s', %s)
        returning expires_at
        """,
        (id_hash, key, seconds, address),
    )
    assert row is not None  # noqa: S101  an insert with returning has a row
    expires: datetime = row[0]
    return expires


def valid(session: Session, id_hash: bytes) -> SessionRow | None:
    """Return a session, unless it has ended or its key was revoked or has expired."""
    row = session.one(
        """
        select k.id::text, k.prefix, k.hash, k.name, k.role, k.namespaces, k.expires_at,
          least(s.expires_at, k.expires_at)
        from orchestrator.sessions s
        join orchestrator.api_keys k on k.id = s.key_id
        where s.hash = %s and s.expires_at > clock_timestamp() and k.revoked_at is null
          and (k.expires_at is null or k.expires_at > clock_timestamp())
        """,
        (id_hash,),
    )
    if row is None:
        return None
    key = KeyRow(row[0], row[1], bytes(row[2]), row[3], row[4], tuple(row[5]), row[6])
    return SessionRow(key, row[7])


def end(session: Session, id_hash: bytes) -> None:
    """End a session."""
    session.all("delete from orchestrator.sessions where hash = %s", (id_hash,))
