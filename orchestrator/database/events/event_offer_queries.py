"""The offers of events to listeners: each event once to each listener."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session

#: Ends a statement that begins with ``unconsumed(instance_id, step, event)``, the offers that their
#: listeners did not consume. Their events are free again, for the instance's mailbox and for its
#: other listeners, which get a new look-back.
REFUSE_OFFERS = """
refused as (
  update orchestrator.event_offers m set refused = true
  from unconsumed g
  where m.event = g.event and m.instance_id = g.instance_id and m.step = g.step
  returning m.event, m.instance_id, m.step),
freed as (
  update orchestrator.events e set consumed = false
  from refused r
  where e.receipt_number = r.event and e.target_instance = r.instance_id
    and not exists (
      select from orchestrator.event_offers o
      where o.event = r.event and not o.refused and o.instance_id = r.instance_id
        and o.step <> r.step))
update orchestrator.listeners l set lookback_requests = l.lookback_requests + 1
from (select distinct instance_id from refused) r
where l.instance_id = r.instance_id
"""


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An event that was offered to a listener, or (step 0) that started an instance."""

    instance: str
    step: int
    refused: bool
    at: datetime


def of_event(session: Session, number: int, limit: int = 1000) -> list[OfferRow]:
    """Return the first `limit` offers of an event."""
    rows = session.all(
        """
        select instance_id::text, step, refused, created_at
        from orchestrator.event_offers
        where event = %s
        order by created_at, instance_id, step limit %s
        """,
        (number, limit),
    )
    return [OfferRow(*row) for row in rows]


def record_starts(transaction: Transaction, schedule: str, key: str, events: Sequence[int]) -> None:
    """Record which instance the events have started, by the firing that they caused. A waiting
    firing has no instance yet."""
    transaction.all(
        """
        insert into orchestrator.event_offers (event, instance_id, step)
        select g.event, f.instance_id, 0
        from orchestrator.firings f, unnest(%s::bigint[]) as g(event)
        where f.schedule_id = %s and f.key = %s and f.instance_id is not null
        on conflict do nothing
        """,
        (list(events), schedule, key),
    )


@dataclass(frozen=True, slots=True)
class OfferMade:
    """An offer that was made; `refused`: the instance did not consume it."""

    event: int
    instance: str
    step: int
    refused: bool


def offers_made(transaction: Transaction, pairs: Iterable[tuple[int, str]]) -> list[OfferMade]:
    """Return the offers that were made for these (event, instance)."""
    unique = sorted(set(pairs))
    if not unique:
        return []
    rows = transaction.all(
        """
        select m.event, m.instance_id::text, m.step, m.refused
        from unnest(%s::bigint[], %s::uuid[]) as g(event, instance_id)
        join orchestrator.event_offers m using (event, instance_id)
        """,
        ([pair[0] for pair in unique], [pair[1] for pair in unique]),
    )
    return [OfferMade(*row) for row in rows]


def refused_events(
    transaction: Transaction, instances: Sequence[str], limit: int
) -> list[tuple[str, int]]:
    """Return the newest broadcast events that each instance has refused and that were not offered
    to another of its listeners since: ``(instance, event's number)``."""
    rows = transaction.all(
        """
        select r.instance_id::text, r.event
        from unnest(%s::uuid[]) as i(id)
        cross join lateral (
          select m.instance_id, m.event from orchestrator.event_offers m
          where m.instance_id = i.id and m.refused
            and not exists (
              select from orchestrator.event_offers n
              where n.event = m.event and n.instance_id = m.instance_id and not n.refused)
          order by m.event desc limit %s) r
        """,
        (list(instances), limit),
    )
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class NewOffer:
    """An offer of an event to a listener; `data` is the data of the stimulus as JSON text."""

    event: int
    instance: str
    step: int
    data: str


def offer(transaction: Transaction, offers: Sequence[NewOffer]) -> list[str]:
    """Offer events to listeners, each once. Return the instances that got a stimulus."""
    if not offers:
        return []
    rows = transaction.all(
        """
        with input as (
          select *
          from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::json[])
            with ordinality as g(event, instance_id, step, data, n)),
        new as (
          insert into orchestrator.event_offers (event, instance_id, step)
          select event, instance_id, step from input
          on conflict do nothing
          returning event, instance_id, step)
        insert into orchestrator.stimuli (instance_id, kind, step, data, key)
        select g.instance_id, 'event', g.step, g.data, 'event:' || g.event || ':' || g.step
        from input g
        join new using (event, instance_id, step)
        order by g.n
        on conflict (instance_id, key) where key is not null do nothing
        returning instance_id::text
        """,
        (
            [one.event for one in offers],
            [one.instance for one in offers],
            [one.step for one in offers],
            [one.data for one in offers],
        ),
    )
    return list(dict.fromkeys(row[0] for row in rows))
