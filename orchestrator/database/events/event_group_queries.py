"""Groups of events that an event-driven schedule has collected and that are not complete yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A row of ``event_groups``; the last two fields are its `state`."""

    id: str
    event_numbers: list[int]
    matched_filters: list[int]
    ended_by: list[int]


def of_key(transaction: Transaction, schedule: str, key: str) -> list[GroupRow]:
    """Return the groups of a schedule with a key, the oldest first."""
    rows = transaction.all(
        """
        select id::text, event_numbers, state
        from orchestrator.event_groups
        where schedule_id = %s and key = %s
        order by event_numbers[1]
        """,
        (schedule, key),
    )
    return [GroupRow(row[0], row[1], row[2]["matched_filters"], row[2]["ended_by"]) for row in rows]


def count(transaction: Transaction, schedule: str, limit: int) -> int:
    """Return how many groups a schedule has, counted up to `limit`."""
    row = transaction.one(
        """
        select count(*)
        from (select from orchestrator.event_groups where schedule_id = %s limit %s) g
        """,
        (schedule, limit),
    )
    return int(row[0]) if row else 0


def save(transaction: Transaction, schedule: str, key: str, group: GroupRow) -> None:
    """Add a group, or overwrite it."""
    transaction.all(
        """
        insert into orchestrator.event_groups (id, schedule_id, key, event_numbers, state)
        values (%s, %s, %s, %s, %s)
        on conflict (id) do update
        set event_numbers = excluded.event_numbers, state = excluded.state
        """,
        (
            group.id,
            schedule,
            key,
            group.event_numbers,
            dumps({"matched_filters": group.matched_filters, "ended_by": group.ended_by}),
        ),
    )


def remove(transaction: Transaction, ids: Sequence[str]) -> None:
    """Remove groups."""
    transaction.all(
        "delete from orchestrator.event_groups where id = any(%s::uuid[])", (list(ids),)
    )


def purge(session: Session, age: timedelta) -> None:
    """Remove groups that are still not complete after `age`."""
    session.all(
        "delete from orchestrator.event_groups where created_at < clock_timestamp() - %s", (age,)
    )
