"""CloudEvents as rows: stored once each, read, matched, purged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import Json
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
class StoredEvent:
    """The id of an event's row, and whether the event was stored before."""

    id: str
    duplicate: bool


_PUT = """
with input as (
  select *
  from unnest(
    %(ids)s::uuid[], %(names)s::text[], %(sources)s::text[], %(types)s::text[],
    %(events)s::json[], %(instances)s::uuid[])
    with ordinality as g(id, event_id, source, type, event, instance_id, n)),
new as (
  insert into orchestrator.events
    (id, namespace, event_id, source, type, event, instance_id, target_instance)
  select id, %(namespace)s, event_id, source, type, event, instance_id, %(target)s
  from input
  order by n
  on conflict (namespace, source, event_id) do nothing
  returning id, source, event_id)
select coalesce(n.id, e.id)::text, n.id is distinct from g.id
from input g
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
) -> list[StoredEvent]:
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
            return [StoredEvent(row[0], row[1]) for row in rows]

        # A row is missing because another transaction was storing the same event at the same time.
        # That transaction has committed by now, so try again: the next try finds the row.


def is_known(session: Session, namespace: str, source: Any, event_id: Any) -> bool:
    """Whether the event was received before: its namespace, source and id are an event's."""
    found = session.one(
        "select 1 from orchestrator.events where namespace = %s and source = %s and event_id = %s",
        (namespace, source, event_id),
    )
    return found is not None


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
    event = EventRow(*row) if row else None
    return event if event and scope.has(event.namespace) else None


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
            payloads=("event",),
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
        payloads=("event",),
    )


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
