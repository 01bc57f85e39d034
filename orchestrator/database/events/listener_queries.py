"""Listeners, found by the filters that they share and the correlation values that they expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.events.event_queries import UnmatchedEvent
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

    def since(self, look_back: float) -> datetime:
        """Return the time from which broadcast events numbered below its mark count for it.

        `look_back`, in seconds, applies to listeners without their own.
        """
        own = look_back if self.look_back is None else self.look_back
        return self.opened - timedelta(seconds=own)

    def hears(self, event: UnmatchedEvent, look_back: float) -> bool:
        """Whether an event counts for it; `HEARS` is the same condition for new events. An event
        addressed to its instance always does: it can't be older than the instance."""
        if event.target_instance is not None:
            return True
        if event.receipt_number <= self.above:
            return False
        above = self.mark is not None and event.receipt_number > self.mark
        return above or event.created_at >= self.since(look_back)


#: The condition of `ListenerRow.hears` for a broadcast event p that is matched for the first time.
HEARS = """
p.event > coalesce(i.heard_from, 0)
  and (
    l.heard_from is null
    or p.event > l.heard_from
    or p.at >= l.created_at - coalesce(l.look_back, %(look_back)s) * interval '1 s')
"""

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
  where q.instance_id = u.instance_id and q.kind = 'event' and not q.set_aside
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


def waits(session: Session, namespace: str) -> bool:
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


def filters(
    transaction: Transaction, namespace: str, types: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the filters with listeners that may accept events of these types: ``(id, JSON
    text)``."""
    rows = transaction.all(
        # One entry is enough: the planner could turn `exists` into a join that reads all.
        """
        select f.id::text, f.filter::text
        from orchestrator.event_filters f
        cross join lateral (
          select from orchestrator.listener_index k
          where k.filter_id = f.id
          limit 1) k
        where f.namespace = %(namespace)s and (f.type = any(%(types)s) or f.type is null)
        order by f.id
        """,
        {"namespace": namespace, "types": list(types)},
    )
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class Probe:
    """An event that passed a filter, to find the listeners with this filter and these correlation
    values, or without any.

    `event_index` is the event's index in the round, `event` its receipt number; `at` is when it
    came. `dynamic`: the filter has arguments, so the variables of each
    listener are read too.
    """

    event_index: int
    event: int
    at: datetime
    filter: str
    correlation_digest: str
    dynamic: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listener that a probe found.

    `event_index` is that of the probe; `filter_index` is the index of the filter in the listener,
    or in its `until`.
    """

    event_index: int
    filter: str
    filter_index: int
    is_until: bool
    instance: str
    step: int
    mode: str
    count: int
    takes_one: bool
    correlation: dict[str, Json] | None
    variables: dict[str, Json] | None
    offered_filters: list[int]


def candidates(
    transaction: Transaction, probes: Sequence[Probe], look_back: float, limit: int
) -> list[Candidate]:
    """Return the listeners that the probes find, for which the event counts and that were not
    offered it, by event."""
    rows = transaction.all(
        f"""
        select p.event_index, p.filter_id::text, k.filter_index, k.is_until, l.instance_id::text,
          l.step, l.mode, json_array_length(l.filters), l.mode <> 'all' and l.until is null,
          l.correlation, case when p.dynamic then l.variables end, l.offered_filters
        from unnest(
          %(indexes)s::int[], %(events)s::bigint[], %(times)s::timestamptz[], %(filters)s::uuid[],
          %(digests)s::text[], %(dynamic)s::boolean[]) as p(
            event_index, event, at, filter_id, correlation_digest, dynamic)
        join orchestrator.listener_index k on k.filter_id = p.filter_id
          and k.correlation_digest in (p.correlation_digest, '')
        join orchestrator.listeners l on l.instance_id = k.instance_id and l.step = k.step
        join orchestrator.instances i on i.id = l.instance_id
        where not exists (
          select from orchestrator.event_offers m
          where m.event = p.event and m.instance_id = k.instance_id and m.step = k.step)
          and {HEARS}
        order by p.event_index, l.instance_id, l.step limit %(limit)s
        """,
        {
            "indexes": [probe.event_index for probe in probes],
            "events": [probe.event for probe in probes],
            "times": [probe.at for probe in probes],
            "filters": [probe.filter for probe in probes],
            "digests": [probe.correlation_digest for probe in probes],
            "dynamic": [probe.dynamic for probe in probes],
            "look_back": look_back,
            "limit": limit,
        },
    )
    return [Candidate(*row) for row in rows]


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


def refused(
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
        with given as (
          select *
          from unnest(%s::uuid[], %s::int[], %s::json[], %s::text[], %s::boolean[], %s::int[])
            with ordinality as g(instance_id, step, correlation, offered_filters, is_saturated,
              lookbacks_done, n)),
        held as (
          select g.* from given g
          join orchestrator.listeners l using (instance_id, step)
          order by g.n for no key update of l)
        update orchestrator.listeners l
        set correlation = h.correlation, offered_filters = h.offered_filters::smallint[],
          is_saturated = h.is_saturated,
          lookbacks_done = greatest(l.lookbacks_done, h.lookbacks_done)
        from held h
        where l.instance_id = h.instance_id and l.step = h.step
        """,
        columns,
    )


def offer(transaction: Transaction, offers: Sequence[NewOffer]) -> list[str]:
    """Offer events to listeners, each once. Return the instances that got a stimulus."""
    if not offers:
        return []
    rows = transaction.all(
        """
        with given as (
          select *
          from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::json[])
            with ordinality as g(event, instance_id, step, data, n)),
        new as (
          insert into orchestrator.event_offers (event, instance_id, step)
          select event, instance_id, step from given
          on conflict do nothing
          returning event, instance_id, step)
        insert into orchestrator.stimuli (instance_id, kind, step, data, key)
        select g.instance_id, 'event', g.step, g.data, 'event:' || g.event || ':' || g.step
        from given g
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


def purge_filters(session: Session) -> None:
    """Remove filters that are older than a day and have no listener."""
    session.all(
        """
        delete from orchestrator.event_filters f
        where f.created_at < clock_timestamp() - interval '1 day'
          and not exists (select from orchestrator.listener_index k where k.filter_id = f.id)
          and pg_try_advisory_xact_lock(hashtextextended('events ' || f.namespace, 0))
        """
    )
