"""Listeners, found by the filters that they share and the correlation values that they expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.json_codec import dumps

#: Opens the transaction that matches a namespace's events. Filters are evaluated inside it, so its
#: idle timeout is longer than usual. Index scans are forced: the tables grow from a few rows to
#: 100,000 faster than the planner's statistics.
MATCHING = """
begin;
set local lock_timeout = '2s';
set local idle_in_transaction_session_timeout = '60s';
set local enable_seqscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off;
"""


@dataclass(frozen=True, slots=True)
class ListenerRow:
    """A row of ``listeners``.

    While `lookback_requests` exceeds `lookbacks_done`, a look-back is pending. `above` is the mark
    of its instance; `mark` is its own, None where an old release opened it without one. `opened`
    is when it was opened, `look_back` its own look-back in seconds, if it has one.
    """

    instance: str
    step: int
    mode: str
    filters: list[dict[str, Json]]
    until: dict[str, Json] | None
    correlation: dict[str, Json] | None
    variables: dict[str, Json] | None
    offered_filters: list[int]
    is_saturated: bool
    above: int
    mark: int | None
    opened: datetime
    look_back: float | None
    lookback_requests: int
    lookbacks_done: int

    def counts_events_since(self, look_back: float) -> datetime:
        """Return the time from which broadcast events numbered below its mark count for it.

        `look_back`, in seconds, applies to listeners without their own.
        """
        own = look_back if self.look_back is None else self.look_back
        return self.opened - timedelta(seconds=own)

    def may_receive(self, event: UnmatchedEvent, look_back: float) -> bool:
        """Whether an event counts for it; `MAY_RECEIVE` is the same condition for new events.

        An event addressed to its instance always does: it can't be older than the instance.
        """
        if event.target_instance is not None:
            return True
        if event.receipt_number <= self.above:
            return False
        above = self.mark is not None and event.receipt_number > self.mark
        return above or event.created_at >= self.counts_events_since(look_back)


_LISTENER = """
select l.instance_id::text, l.step, l.mode, l.filters, l.until, l.correlation, l.variables,
  l.offered_filters, l.is_saturated, coalesce(i.heard_from, 0), l.heard_from, l.created_at,
  l.look_back, l.lookback_requests, l.lookbacks_done
from orchestrator.listeners l
left join orchestrator.instances i on i.id = l.instance_id
"""


def lock(transaction: Transaction, namespace: str) -> datetime | None:
    """Lock the matching of a namespace until the transaction ends. Return the database's time;
    None: another process has the lock."""
    row = transaction.one(
        "select pg_try_advisory_xact_lock(hashtextextended(%s, 0)), clock_timestamp()",
        (f"events {namespace}",),
    )
    return row[1] if row and row[0] else None


#: True if no offer to a closed listener of this instance is still in the inbox. Such an offer will
#: be refused and must reach the next listener before any later event. A scalar subquery: the
#: planner could turn `exists` into a join of whole tables.
_NO_PENDING_OFFER = """
(
  select 1 from orchestrator.stimuli q
  where q.instance_id = u.instance_id and q.kind = 'event' and not q.deferred
    and (
      select 1 from orchestrator.listeners c
      where c.instance_id = q.instance_id and c.step = q.step) is null
  limit 1) is null
"""


def pending_lookbacks(transaction: Transaction, namespace: str, limit: int) -> list[ListenerRow]:
    """Return listeners with a pending look-back that can be done now, those of one instance
    together."""
    rows = transaction.all(
        f"""
        {_LISTENER}
        where l.namespace = %(namespace)s and l.lookback_requests > l.lookbacks_done
          and l.instance_id in (
            select u.instance_id from orchestrator.listeners u
            where u.namespace = %(namespace)s and u.lookback_requests > u.lookbacks_done
              and {_NO_PENDING_OFFER}
            order by u.instance_id limit %(limit)s)
        order by l.instance_id, l.step
        """,
        {"namespace": namespace, "limit": limit},
    )
    return [ListenerRow(*row) for row in rows]


def of_instances(transaction: Transaction, instances: Sequence[str]) -> list[ListenerRow]:
    """Return the listeners of these instances that accept more events.

    One with a pending look-back is left out: older events may be in the mailbox, and the new ones
    join them there.
    """
    rows = transaction.all(
        f"""
        {_LISTENER}
        where l.instance_id = any(%s::uuid[]) and not l.is_saturated
          and l.lookback_requests <= l.lookbacks_done
        order by l.instance_id, l.step
        """,
        (list(instances),),
    )
    return [ListenerRow(*row) for row in rows]


def has_pending_lookback(session: Session, namespace: str) -> bool:
    """Whether a listener of a namespace has a pending look-back that can be done now."""
    return bool(
        session.one(
            f"""
            select 1 from orchestrator.listeners u
            where u.namespace = %s and u.lookback_requests > u.lookbacks_done
              -- In the order of the index: otherwise the planner reads all rows, because it expects
              -- an early hit.
              and {_NO_PENDING_OFFER}
            order by u.instance_id limit 1
            """,
            (namespace,),
        )
    )


@dataclass(frozen=True, slots=True)
class ListenerUpdate:
    """The new state of a listener; `lookbacks_done`: the number of the last look-back request that
    is done."""

    instance: str
    step: int
    correlation: dict[str, Json] | None
    offered_filters: tuple[int, ...]
    is_saturated: bool
    lookbacks_done: int


def save_listeners(transaction: Transaction, listeners: Sequence[ListenerUpdate]) -> None:
    """Store the new state of listeners. They stay locked until the transaction ends, so that none
    closes while its index entries are written."""
    if not listeners:
        return
    ordered = sorted(listeners, key=lambda one: (one.instance, one.step))
    columns: tuple[list[Any], ...] = (
        [one.instance for one in ordered],
        [one.step for one in ordered],
        [None if one.correlation is None else dumps(one.correlation) for one in ordered],
        ["{" + ",".join(map(str, one.offered_filters)) + "}" for one in ordered],
        [one.is_saturated for one in ordered],
        [one.lookbacks_done for one in ordered],
    )
    transaction.all(
        """
        with input as (
          select *
          from unnest(%s::uuid[], %s::int[], %s::json[], %s::text[], %s::boolean[], %s::int[])
            with ordinality as g(instance_id, step, correlation, offered_filters, is_saturated,
              lookbacks_done, n)),
        locked as (
          select g.* from input g
          join orchestrator.listeners l using (instance_id, step)
          order by g.n for no key update of l)
        update orchestrator.listeners l
        set correlation = h.correlation, offered_filters = h.offered_filters::smallint[],
          is_saturated = h.is_saturated,
          lookbacks_done = greatest(l.lookbacks_done, h.lookbacks_done)
        from locked h
        where l.instance_id = h.instance_id and l.step = h.step
        """,
        columns,
    )
