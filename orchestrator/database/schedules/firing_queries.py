"""The ledger of schedules: the outcome of each due time. Its key lets each due time fire once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Page, equal, one_of, page

Slot = tuple[str, datetime]
"""A schedule and a due time of it."""


@dataclass(frozen=True, slots=True)
class FiringRow:
    """A row of ``firings``; `input` is JSON text."""

    schedule_id: str
    due: datetime
    reason: str
    outcome: str
    fires_at: datetime
    version: str
    skip_reason: str | None = None
    missed_since: datetime | None = None
    fired_at: datetime | None = None
    instance_id: str | None = None
    key: str | None = None
    input: str | None = None
    heard_from: int | None = None


_NAMES = tuple(field.name for field in fields(FiringRow))
_COLUMNS = ", ".join(
    f"f.{name}::text" if name in {"schedule_id", "instance_id", "input"} else f"f.{name}"
    for name in _NAMES
)
_PUT = f"""
insert into orchestrator.firings as f ({", ".join(_NAMES)})
select *
from unnest(
  %s::uuid[], %s::timestamptz[], %s::text[], %s::text[], %s::timestamptz[], %s::text[],
  %s::text[], %s::timestamptz[], %s::timestamptz[], %s::uuid[], %s::text[], %s::json[],
  %s::bigint[])
"""
_OVERWRITTEN = ", ".join(f"{name} = excluded.{name}" for name in _NAMES[2:])


def put(transaction: Transaction, rows: Sequence[FiringRow], *, revive: bool = False) -> set[Slot]:
    """Record the outcomes of due times, and return those that were recorded.

    Due times that were recorded before stay as they are; with `revive`, skipped ones are
    overwritten.
    """
    if not rows:
        return set()
    conflict = (
        f"(schedule_id, due) do update set {_OVERWRITTEN} where f.outcome = 'skipped'"
        if revive
        else "do nothing"
    )
    recorded = transaction.all(
        f"{_PUT} on conflict {conflict} returning f.schedule_id::text, f.due",
        tuple([getattr(row, name) for row in rows] for name in _NAMES),
    )
    return {(row[0], row[1]) for row in recorded}


def queued(transaction: Transaction, schedules: Collection[str]) -> list[tuple[FiringRow, bool]]:
    """Return the first queued firing of each of these schedules, and whether more of them wait."""
    rows = transaction.all(
        f"""
        select distinct on (f.schedule_id) {_COLUMNS},
          exists (
            select from orchestrator.firings m
            where m.schedule_id = f.schedule_id and m.outcome = 'queued' and m.due > f.due)
        from orchestrator.firings f
        where f.schedule_id = any(%s::uuid[]) and f.outcome = 'queued'
        order by f.schedule_id, f.due
        """,
        (list(schedules),),
    )
    return [(FiringRow(*row[:-1]), row[-1]) for row in rows]


def start(transaction: Transaction, rows: Sequence[FiringRow]) -> None:
    """Record that queued firings have started: when, as which instance, of which version."""
    transaction.all(
        """
        update orchestrator.firings f
        set outcome = 'started', input = null, fired_at = n.fired_at, instance_id = n.instance_id,
          version = n.version
        from unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::uuid[], %s::text[])
          as n(schedule_id, due, fired_at, instance_id, version)
        where f.schedule_id = n.schedule_id and f.due = n.due
        """,
        tuple(
            [getattr(row, name) for row in rows]
            for name in ("schedule_id", "due", "fired_at", "instance_id", "version")
        ),
    )


def is_recorded(transaction: Transaction, schedule: str, key: str) -> bool:
    """Whether this cause was recorded before."""
    row = transaction.one(
        "select exists (select from orchestrator.firings where schedule_id = %s and key = %s)",
        (schedule, key),
    )
    return bool(row and row[0])


def drop_queued(transaction: Transaction, schedules: Collection[str], skip_reason: str) -> None:
    """Skip all queued firings of these schedules."""
    if schedules:
        transaction.all(
            """
            update orchestrator.firings set outcome = 'skipped', skip_reason = %s, input = null
            where schedule_id = any(%s::uuid[]) and outcome = 'queued'
            """,
            (skip_reason, list(schedules)),
        )


def listed(
    session: Session,
    schedule: str,
    *,
    outcomes: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return the ledger of a schedule, the newest due time first; rows are ``(due,
    *FiringRow)``."""
    return page(
        session,
        f"select f.due, {_COLUMNS} from orchestrator.firings f",
        [
            equal("schedule_id", schedule),
            one_of("outcome", outcomes),
            ("due >= %(since)s", {"since": since}) if since else None,
            ("due <= %(until)s", {"until": until}) if until else None,
        ],
        order=("due",),
        descending=True,
        limit=limit,
        after=after,
    )


def purge(session: Session, age: timedelta, most: int, limit: int = 5000) -> int:
    """Remove up to `limit` firings older than `age`, and as many that have more than `most` newer
    ones of their schedule. Queued ones stay. Return how many."""
    rows = session.all(
        """
        delete from orchestrator.firings
        where ctid in (
          (
            select ctid from orchestrator.firings
            where created_at < (select clock_timestamp()) - %(age)s and outcome <> 'queued'
            order by created_at limit %(limit)s)
          union all (
            select f.ctid from orchestrator.schedules s
            cross join lateral (
              select n.due from orchestrator.firings n
              where n.schedule_id = s.id
              order by n.due desc offset %(most)s limit 1) edge
            join orchestrator.firings f on f.schedule_id = s.id and f.due <= edge.due
            where f.outcome <> 'queued'
            limit %(limit)s))
        returning 1
        """,
        {"age": age, "most": most, "limit": limit},
    )
    return len(rows)
