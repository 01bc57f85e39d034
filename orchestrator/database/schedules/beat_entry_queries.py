"""The periodic entries of users' Celery apps, and which of their due times were sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class EntryState:
    """The base of the next due time: the last one (or the beginning), and the time now."""

    last_due: datetime
    now: datetime


def register_entries(session: Session, app: str, entries: Sequence[str]) -> dict[str, EntryState]:
    """Add entries unless they exist, and record that a beat still has them."""
    rows = session.all(
        """
        insert into orchestrator.celery_beat_entries as b (app, entry, last_due)
        select %s, e.entry, clock_timestamp()
        from unnest(%s::text[]) as e(entry)
        order by e.entry
        on conflict (app, entry) do update set reported_at = clock_timestamp()
        returning b.entry, b.last_due, clock_timestamp()
        """,
        (app, list(entries)),
    )
    return {row[0]: EntryState(row[1], row[2]) for row in rows}


def lock(transaction: Transaction, app: str, entry: str) -> EntryState | None:
    """Lock an entry, so that one beat at a time decides about it; None: another beat has the lock,
    or the entry was purged."""
    row = transaction.one(
        """
        select last_due, clock_timestamp()
        from orchestrator.celery_beat_entries
        where app = %s and entry = %s
        for update skip locked
        """,
        (app, entry),
    )
    return EntryState(*row) if row else None


def fire(transaction: Transaction, app: str, entry: str, due: datetime, last: datetime) -> bool:
    """Record that a due time is about to be sent, and the base of the next one; False where it was
    recorded before."""
    row = transaction.one(
        """
        update orchestrator.celery_beat_entries set last_due = %s
        where app = %s and entry = %s;
        insert into orchestrator.celery_beat_firings (app, entry, due)
        values (%s, %s, %s)
        on conflict do nothing
        returning 1
        """,
        (last, app, entry, app, entry, due),
    )
    return row is not None


def record_sent(session: Session, app: str, entry: str, due: datetime) -> None:
    """Record that the message of a due time was sent."""
    session.all(
        """
        update orchestrator.celery_beat_firings set sent_at = clock_timestamp()
        where app = %s and entry = %s and due = %s
        """,
        (app, entry, due),
    )


def unsent(
    session: Session, app: str, entries: Sequence[str], seconds: float, limit: int = 100
) -> list[tuple[str, datetime]]:
    """Return due times that a beat recorded `seconds` ago and has not sent: the beat died, or the
    broker was unavailable. Each is returned once in that time, however many beats ask."""
    rows = session.all(
        """
        with unsent as (
          select app, entry, due from orchestrator.celery_beat_firings
          where sent_at is null and app = %s and entry = any(%s)
            and tried_at < (select clock_timestamp()) - %s * interval '1 s'
          order by tried_at limit %s for update skip locked)
        update orchestrator.celery_beat_firings f set tried_at = clock_timestamp()
        from unsent
        where f.app = unsent.app and f.entry = unsent.entry and f.due = unsent.due
        returning f.entry, f.due
        """,
        (app, list(entries), seconds, limit),
    )
    return [(row[0], row[1]) for row in rows]


def purge(
    session: Session, entries: timedelta, dues: timedelta, unsent_retention: timedelta
) -> list[tuple[str, str, int]]:
    """Remove unreported entries, sent due times and unsent due times that are older than these
    ages. Return how many unsent ones there were: ``(app, entry, count)``."""
    session.all(
        """
        delete from orchestrator.celery_beat_entries
        where reported_at < (select clock_timestamp()) - %s;
        delete from orchestrator.celery_beat_firings
        where sent_at is not null and created_at < (select clock_timestamp()) - %s
        """,
        (entries, dues),
    )
    rows = session.all(
        """
        with deleted as (
          delete from orchestrator.celery_beat_firings
          where sent_at is null and created_at < (select clock_timestamp()) - %s
          returning app, entry)
        select app, entry, count(*) from deleted
        group by app, entry
        order by app, entry
        """,
        (unsent_retention,),
    )
    return [(app, entry, count) for app, entry, count in rows]
