"""CloudEvents as rows: stored once each, read, matched, purged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.keyset_pages import (
    IndexLevel,
    Page,
    Part,
    Scope,
    equal,
    page,
    page_by,
)
from orchestrator.ids import new_id
from orchestrator.json_codec import dumps

#: The mark, as SQL: the receipt number of the last event. A listener with a mark receives the
#: events with greater numbers, whose transactions began after the mark's had committed. The view
#: `pg_sequences` calls the same function; a `select` from the sequence costs four times as much.
LAST = "coalesce(pg_sequence_last_value('orchestrator.events_receipt_number_seq'), 0)"


@dataclass(frozen=True, slots=True)
class Received:
    """The id of an event's row, and whether the event was stored before."""

    id: str
    duplicate: bool


_PUT = """
with given as (
  select *
  from unnest(
    %(ids)s::uuid[], %(names)s::text[], %(sources)s::text[], %(types)s::text[],
    %(events)s::json[], %(instances)s::uuid[])
    with ordinality as g(id, event_id, source, type, event, instance_id, n)),
new as (
  insert into orchestrator.events
    (id, namespace, event_id, source, type, event, instance_id, target_instance)
  select id, %(namespace)s, event_id, source, type, event, instance_id, %(target)s
  from given
  order by n
  on conflict (namespace, source, event_id) do nothing
  returning id, source, event_id)
select coalesce(n.id, e.id)::text, n.id is distinct from g.id
from given g
left join new n on n.source = g.source and n.event_id = g.event_id
left join orchestrator.events e on e.namespace = %(namespace)s and e.source = g.source
  and e.event_id = g.event_id
order by g.n
"""


def put(
    session: Session,
    namespace: str,
    events: Sequence[dict[str, Json]],
    *,
    target: str | None = None,
    instances: Sequence[str | None] = (),
) -> list[Received]:
    """Store events in their order; each (namespace, source, id) once.

    `target` is the instance to whose mailbox they go; `instances` are those that emitted them or
    that they report on.
    """
    if not events:
        return []
    params = {
        "namespace": namespace,
        "target": target,
        "ids": [new_id() for _ in events],
        "names": [event["id"] for event in events],
        "sources": [event["source"] for event in events],
        "types": [event["type"] for event in events],
        "events": [dumps(event) for event in events],
        "instances": list(instances) or [None] * len(events),
    }
    while True:
        rows = session.all(_PUT, params)
        if all(row[0] for row in rows):
            return [Received(row[0], row[1]) for row in rows]
        # Another transaction was storing the same event: by now its row is visible.


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event; `event` is JSON text. `instance` emitted it, `target` is the instance to which it
    is addressed."""

    receipt_number: int
    id: str
    namespace: str
    event: str
    instance: str | None
    target_instance: str | None
    created_at: datetime
    matched_at: datetime | None


_COLUMNS = """
e.receipt_number, e.id::text, e.namespace, e.event::text, e.instance_id::text,
e.target_instance::text, e.created_at, e.matched_at
"""


def get(session: Session, id: str, scope: Scope) -> EventRow | None:
    """Return an event; None also where its namespace is outside the scope."""
    row = session.one(f"select {_COLUMNS} from orchestrator.events e where e.id = %s", (id,))
    found = EventRow(*row) if row else None
    return found if found and scope.has(found.namespace) else None


def listed(
    session: Session,
    scope: Scope,
    *,
    namespace: str | None = None,
    type: str | None = None,
    source: str | None = None,
    target: str | None = None,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return events, the newest first; rows are those of `EventRow`."""
    conditions = [equal("type", type), equal("source", source), equal("target_instance", target)]
    if namespace is not None:
        scope = Scope((namespace,) if scope.has(namespace) else ())
    columns = _COLUMNS.replace("e.", "")
    if scope.namespaces is None and type is None:
        return page(
            session,
            f"select {columns} from orchestrator.events",
            conditions,
            order=("receipt_number",),
            descending=True,
            limit=limit,
            after=after,
        )
    levels = [scope.level, *([IndexLevel("type", [type])] if type is not None else ())]
    return page_by(
        session,
        columns,
        "orchestrator.events",
        [Part(levels, conditions)],
        order=("receipt_number",),
        descending=True,
        limit=limit,
        after=after,
    )


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
    found: dict[str, list[UnmatchedEvent]] = {}
    for row in rows:
        waiting = UnmatchedEvent(*row)
        found.setdefault(str(waiting.target_instance), []).append(waiting)
    return found


def is_mailbox_full(session: Session, instance: str, limit: int) -> bool:
    """Whether an instance's mailbox has `limit` events."""
    row = session.one(
        """
        select count(*)
        from (
          select from orchestrator.events e
          where e.target_instance = %s and not e.consumed limit %s) m
        """,
        (instance, limit),
    )
    return bool(row and row[0] >= limit)


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


def bytes_of(session: Session, numbers: Sequence[int]) -> int:
    """Return the total size of the JSON text of several events, in bytes."""
    row = session.one(
        """
        select coalesce(sum(octet_length(event::text)), 0)
        from orchestrator.events
        where receipt_number = any(%s)
        """,
        (list(numbers),),
    )
    return int(row[0]) if row else 0


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


def purge(session: Session, age: timedelta, limit: int = 2000) -> int:
    """Remove up to `limit` events older than `age`, with their offers. Return how many.

    Events in the mailbox of an open instance, and events that wait to be matched or delivered,
    stay.
    """
    rows = session.all(
        f"""
        with old as (
          select e.receipt_number from orchestrator.events e
          where e.created_at < clock_timestamp() - %s and e.matched_at is not null
            and not exists (
              select from orchestrator.instances i
              where i.id = e.target_instance and not e.consumed
                and i.status in {OPEN})
            and not exists (
              select from orchestrator.deliveries d
              where d.event = e.receipt_number and d.state = 'pending')
          order by e.receipt_number limit %s),
        offers as (
          delete from orchestrator.event_offers m
          using old
          where m.event = old.receipt_number)
        delete from orchestrator.events e
        using old
        where e.receipt_number = old.receipt_number
        returning 1
        """,
        (age, limit),
    )
    return len(rows)
