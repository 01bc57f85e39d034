"""Starts that other applications submitted in their own transactions (``orchestrator_outbox``).

Whoever moves a row out of the outbox deletes it in the transaction that starts its instance, or
that makes a dead letter of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Scope

#: The `reason` of the dead letter of a refused start.
REFUSED_START = "start"


@dataclass(frozen=True, slots=True)
class SubmittedStart:
    """A row of the outbox.

    `request` is JSON text, None where it was larger than requested; `heard_from` the number of an
    event.
    """

    id: str
    namespace: str
    login: str
    request: str | None
    heard_from: int


_COLUMNS = """
s.id::text, s.namespace, s.login,
case when octet_length(s.request::text) <= %(max_bytes)s then s.request::text end, s.heard_from
"""
#: The most bytes of all requests of a batch, apart from those of its last row; and the most
#: namespaces in it.
_BATCH_BYTES, _BATCH_NAMESPACES = 8 << 20, 20


def oldest(session: Session, limit: int, max_bytes: int) -> list[SubmittedStart]:
    """Return the oldest rows, up to `limit` of each namespace. `max_bytes`: of a request, see
    `SubmittedStart`."""
    rows = session.all(
        f"""
        with recursive namespaces as (
          (select namespace from orchestrator_outbox.starts order by namespace limit 1)
          union all
          select (
            select s.namespace from orchestrator_outbox.starts s
            where s.namespace > n.namespace order by s.namespace limit 1)
          from namespaces n where n.namespace is not null)
        select {_COLUMNS}
        from (
          select o.*, sum(least(octet_length(o.request::text), %(max_bytes)s)) over (order by o.id)
            - least(octet_length(o.request::text), %(max_bytes)s) as bytes_before
          from (
            select namespace from namespaces where namespace is not null
            order by random() limit %(namespaces)s) n
          cross join lateral (
            select * from orchestrator_outbox.starts l
            where l.namespace = n.namespace
            order by l.id limit %(limit)s) o) s
        where bytes_before <= %(batch_bytes)s
        order by s.id
        """,
        {
            "limit": limit,
            "max_bytes": max_bytes,
            "namespaces": _BATCH_NAMESPACES,
            "batch_bytes": _BATCH_BYTES,
        },
    )
    return [SubmittedStart(*row) for row in rows]


def get(session: Session, id: str, max_bytes: int) -> SubmittedStart | None:
    """Return one row, as `oldest` does."""
    row = session.one(
        f"select {_COLUMNS} from orchestrator_outbox.starts s where s.id = %(id)s",
        {"id": id, "max_bytes": max_bytes},
    )
    return SubmittedStart(*row) if row else None


def lock(session: Session, ids: Sequence[str], *, wait: bool = False) -> set[str]:
    """Lock those of the rows that still stand, and return their ids. Rows that another process has
    locked are left to it, or waited for. Raises `LockTimeout`."""
    rows = session.all(
        f"""
        select id::text from orchestrator_outbox.starts where id = any(%s::uuid[])
        order by id for update {"" if wait else "skip locked"}
        """,
        (list(ids),),
    )
    return {row[0] for row in rows}


def exists(session: Session, id: str) -> bool:
    """Whether the start of this id stands in the outbox."""
    row = session.one("select exists (select from orchestrator_outbox.starts where id = %s)", (id,))
    return bool(row and row[0])


def delete(session: Session, ids: Collection[str]) -> None:
    """Delete rows."""
    session.all("delete from orchestrator_outbox.starts where id = any(%s::uuid[])", (list(ids),))


def refuse(session: Session, refused: Sequence[tuple[str, str, str]]) -> None:
    """Turn rows into dead letters. Each is ``(id of the row, id of the dead letter, error)``; the
    error is JSON text."""
    session.all(
        """
        with refused as (
          select * from unnest(%s::uuid[], %s::uuid[], %s::json[]) as r(id, dead_letter, error)),
        gone as (
          delete from orchestrator_outbox.starts s using refused r where s.id = r.id
          returning s.*, r.dead_letter, r.error)
        insert into orchestrator.dead_letters
          (id, namespace, instance_id, step, reason, error, request, login)
        select dead_letter, namespace, id, 0, 'start', error, request, login
        from gone
        """,
        tuple([row[column] for row in refused] for column in range(3)),
    )


def submit_again(session: Session, dead_letter: str) -> None:
    """Put the start of a dead letter back into the outbox. It hears the events from now on."""
    session.all(
        """
        insert into orchestrator_outbox.starts (id, namespace, login, request, heard_from)
        select instance_id, namespace, login, request,
          coalesce(pg_sequence_last_value('orchestrator.events_receipt_number_seq'), 0)
        from orchestrator.dead_letters where id = %s
        """,
        (dead_letter,),
    )


def request_of(session: Session, dead_letter: str) -> str | None:
    """Return the request of a refused start as JSON text; None for other dead letters."""
    row = session.one(
        "select request::text from orchestrator.dead_letters where id = %s", (dead_letter,)
    )
    return row[0] if row else None


def refusal_of(session: Session, instance: str, scope: Scope) -> tuple[str, str] | None:
    """Return the dead letter ``(id, error as JSON text)`` of the start of this instance, if it was
    refused and is open."""
    row = session.one(
        """
        select id::text, error::text, namespace from orchestrator.dead_letters
        where instance_id = %s and step = 0 and reason = 'start' and resolved_at is null
        order by created_at desc limit 1
        """,
        (instance,),
    )
    return (row[0], row[1]) if row and scope.has(row[2]) else None


def purge(session: Session, days: int, limit: int = 1000) -> int:
    """Delete up to `limit` resolved dead letters of refused starts that are older than `days`. (No
    instance takes them along when it is archived.) Return how many."""
    rows = session.all(
        """
        delete from orchestrator.dead_letters
        where ctid in (
          select ctid from orchestrator.dead_letters
          where reason = 'start' and resolved_at < clock_timestamp() - make_interval(days => %s)
          limit %s)
        returning 1
        """,
        (days, limit),
    )
    return len(rows)
