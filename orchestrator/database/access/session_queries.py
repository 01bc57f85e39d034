"""Sessions of people in browsers: their data, never their ids, of which only a hash is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.access.api_key_queries import KeyRow
from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person whom an identity provider knows: (`issuer`, `subject`) is unique, `name` is not."""

    issuer: str
    subject: str
    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Who began a session, a person or with a key (as it is now), and when the session ends."""

    who: KeyRow | PersonRow
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that begins. `id` names it to people; only a hash of what opens it is stored."""

    id: str
    hash: bytes
    who: KeyRow | PersonRow
    address: str | None


def put(session: Session, new: NewSession, seconds: float) -> datetime:
    """Begin a session. Return when it ends. Sessions that have ended are removed."""
    person = new.who if isinstance(new.who, PersonRow) else None
    row = session.one(
        """
        with ended as (delete from orchestrator.sessions where expires_at < clock_timestamp())
        insert into orchestrator.sessions
          (hash, id, key_id, expires_at, address, issuer, subject, name, groups)
        values (%(hash)s, %(id)s, %(key)s, clock_timestamp() + %(seconds)s * interval '1 s',
          %(address)s, %(issuer)s, %(subject)s, %(name)s, %(groups)s)
        returning expires_at
        """,
        {
            "hash": new.hash,
            "id": new.id,
            "key": new.who.id if isinstance(new.who, KeyRow) else None,
            "seconds": seconds,
            "address": new.address,
            "issuer": person and person.issuer,
            "subject": person and person.subject,
            "name": person and person.name,
            "groups": person and list(person.groups),
        },
    )
    assert row is not None  # noqa: S101  an insert with returning has a row
    expires: datetime = row[0]
    return expires


def valid(session: Session, id_hash: bytes) -> SessionRow | None:
    """Return a session, unless it has ended or its key was revoked or has expired."""
    row = session.one(
        """
        select k.id::text, k.prefix, k.hash, k.name, k.role, k.namespaces, k.expires_at,
          least(s.expires_at, k.expires_at), s.issuer, s.subject, s.name, s.groups
        from orchestrator.sessions s
        left join orchestrator.api_keys k on k.id = s.key_id
        where s.hash = %s and s.expires_at > clock_timestamp()
          and (s.key_id is null or (k.id is not null and k.revoked_at is null
            and (k.expires_at is null or k.expires_at > clock_timestamp())))
        """,
        (id_hash,),
    )
    if row is None:
        return None
    if row[0] is None:
        return SessionRow(PersonRow(row[8], row[9], row[10], tuple(row[11])), row[7])
    key = KeyRow(row[0], row[1], bytes(row[2]), row[3], row[4], tuple(row[5]), row[6])
    return SessionRow(key, row[7])


def end(session: Session, id_hash: bytes) -> None:
    """End a session."""
    session.all("delete from orchestrator.sessions where hash = %s", (id_hash,))
