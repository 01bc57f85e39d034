"""Events as the matching reads them: not matched yet, in mailboxes, and recent broadcasts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class UnmatchedEvent:
    """An event to offer to its listeners; `match_failures` counts the failures so far."""

    receipt_number: int
    type: str
    event: dict[str, Json]
    instance: str | None
    target_instance: str | None
    match_failures: int
    created_at: datetime


_UNMATCHED = """
e.receipt_number, e.type, e.event, e.instance_id::text, e.target_instance::text, e.match_failures,
e.created_at
"""


def now(session: Session) -> datetime:
    """Return the database's time."""
    row = session.one("select clock_timestamp()")
    assert row is not None  # noqa: S101  a select without a table has a row
    time: datetime = row[0]
    return time


def unmatched(transaction: Transaction, namespace: str, limit: int) -> list[UnmatchedEvent]:
    """Return events of a namespace that are not matched yet, in the order of their receipt."""
    rows = transaction.all(
        f"""
        select {_UNMATCHED} from orchestrator.events e
        where e.namespace = %s and e.matched_at is null
        order by e.receipt_number limit %s
        """,
        (namespace, limit),
    )
    return [UnmatchedEvent(*row) for row in rows]


def recent_broadcasts(
    transaction: Transaction,
    namespace: str,
    above: int,
    mark: int | None,
    since: datetime,
    limit: int,
) -> list[UnmatchedEvent]:
    """Return the matched broadcast events of a namespace with numbers above `above` that are
    numbered above `mark` (if there is one) or came since `since`: the newest `limit` of either, in
    the order of their receipt."""
    broadcast = """
        select e.receipt_number from orchestrator.events e
        where e.namespace = %(namespace)s and e.target_instance is null and e.matched_at is not null
          and e.receipt_number > %(above)s
    """
    rows = transaction.all(
        f"""
        with recent as (
          (
            {broadcast} and e.receipt_number > %(mark)s
            order by e.receipt_number desc limit %(limit)s)
          union (
            {broadcast} and e.created_at >= %(since)s
            order by e.created_at desc, e.receipt_number desc limit %(limit)s))
        select {_UNMATCHED} from recent
        join orchestrator.events e using (receipt_number)
        order by e.receipt_number
        """,
        {"namespace": namespace, "above": above, "mark": mark, "since": since, "limit": limit},
    )
    return [UnmatchedEvent(*row) for row in rows]


def mailboxes(
    transaction: Transaction, instances: Sequence[str], types: Sequence[str] | None, limit: int
) -> dict[str, list[UnmatchedEvent]]:
    """Return the oldest `limit` matched events in each instance's mailbox that no listener has
    consumed, in the order of their receipt.

    `types`: only events of these types; None: of any type.
    """
    rows = transaction.all(
        f"""
        select {_UNMATCHED} from unnest(%(ids)s::uuid[]) as i(id)
        cross join lateral (
          select * from orchestrator.events e
          where e.target_instance = i.id and not e.consumed and e.matched_at is not null
            and (%(types)s::text[] is null or e.type = any(%(types)s::text[]))
          order by e.receipt_number limit %(limit)s) e
        order by e.receipt_number
        """,
        {
            "ids": list(instances),
            "types": None if types is None else list(types),
            "limit": limit,
        },
    )
    by_instance: dict[str, list[UnmatchedEvent]] = {}
    for row in rows:
        waiting = UnmatchedEvent(*row)
        by_instance.setdefault(str(waiting.target_instance), []).append(waiting)
    return by_instance


def mark_matched(transaction: Transaction, numbers: Sequence[int]) -> None:
    """Record that these events were offered to all their listeners."""
    if numbers:
        transaction.all(
            """
            update orchestrator.events set matched_at = clock_timestamp()
            where receipt_number = any(%s)
            """,
            (list(numbers),),
        )


def mark_consumed(transaction: Transaction, numbers: Sequence[int]) -> None:
    """Record that these events have left their mailbox."""
    if numbers:
        transaction.all(
            "update orchestrator.events set consumed = true where receipt_number = any(%s)",
            (list(numbers),),
        )


def count_failure(session: Session, number: int) -> None:
    """Count a failed match of an event."""
    session.all(
        """
        update orchestrator.events set match_failures = match_failures + 1
        where receipt_number = %s
        """,
        (number,),
    )


def by_receipt_numbers(session: Session, numbers: Iterable[int]) -> dict[int, UnmatchedEvent]:
    """Return events by their numbers; purged ones are left out."""
    unique = sorted(set(numbers))
    if not unique:
        return {}
    rows = session.all(
        f"select {_UNMATCHED} from orchestrator.events e where e.receipt_number = any(%s)",
        (unique,),
    )
    return {row[0]: UnmatchedEvent(*row) for row in rows}


def has_unmatched(session: Session, namespace: str) -> bool:
    """Whether an event of a namespace waits to be matched."""
    return bool(
        session.one(
            """
            select 1 from orchestrator.events
            where namespace = %s and matched_at is null
            order by receipt_number limit 1
            """,
            (namespace,),
        )
    )


def overdue_namespaces(session: Session, seconds: float) -> list[str]:
    """Return the namespaces in which an event or a look-back has waited for `seconds`, so that its
    hint must be lost."""
    rows = session.all(
        """
        select namespace from orchestrator.events
        where matched_at is null and created_at < clock_timestamp() - %(s)s * interval '1 s'
        union
        select namespace from orchestrator.listeners
        where lookback_requests > lookbacks_done
          and created_at < clock_timestamp() - %(s)s * interval '1 s'
        """,
        {"s": seconds},
    )
    return [row[0] for row in rows]
