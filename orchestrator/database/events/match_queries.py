"""The offers of events to listeners: each event once to each listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session

#: Ends a statement that begins with ``gone(instance_id, step, event)``. Events that a listener was
#: offered and did not consume are free again, for the instance's mailbox and for its other
#: listeners, which get a new look-back.
RETURN = """
refused as (
  update orchestrator.event_offers m set refused = true
  from gone g
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
class MatchRow:
    """An event that was offered to a listener, or (step 0) that started an instance."""

    instance: str
    step: int
    refused: bool
    at: datetime


def of_event(session: Session, number: int, limit: int = 1000) -> list[MatchRow]:
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
    return [MatchRow(*row) for row in rows]


def started(transaction: Transaction, schedule: str, key: str, events: Sequence[int]) -> None:
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
