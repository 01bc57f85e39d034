"""Listeners as events find them: by the filter they share, and by the values they expect."""

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

#: Opens the transaction in which one process matches the events of a namespace. It may think
#: for a while with the lock in its hands, so idleness has its own bound; the tables have few
#: rows or a hundred thousand, and always the index is the way.
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
    """A row of ``listeners``. While it has been `asked` for more often than somebody `looked`,
    what came before it is to be looked for.

    `above` is the mark of its instance, and `mark` its own, None where it was opened by a release
    that set none; `opened` is when that was, and `look_back` its own, in s, if it has one.
    """

    instance: str
    step: int
    mode: str
    filters: list[dict[str, Json]]
    until: dict[str, Json] | None
    correlation: dict[str, Json] | None
    variables: dict[str, Json] | None
    offered: list[int]
    full: bool
    above: int
    mark: int | None
    opened: datetime
    look_back: float | None
    asks: int
    looks: int

    def since(self, look_back: float) -> datetime:
        """From when on it hears broadcast events whose numbers are below its mark; `look_back`,
        in s, is what holds for listeners that have none of their own."""
        own = look_back if self.look_back is None else self.look_back
        return self.opened - timedelta(seconds=own)

    def hears(self, event: UnmatchedEvent, look_back: float) -> bool:
        """Whether an event counts for it; `HEARS` asks the same of new events. One that is
        addressed to its instance does: it could not be before there was the instance."""
        if event.target is not None:
            return True
        if event.number <= self.above:
            return False
        above = self.mark is not None and event.number > self.mark
        return above or event.created_at >= self.since(look_back)


#: The same as `ListenerRow.hears`, of a broadcast event p that is matched for the first time.
HEARS = """
p.event > coalesce(i.heard_from, 0)
  and (
    l.heard_from is null
    or p.event > l.heard_from
    or p.at >= l.created_at - coalesce(l.look_back, %(look_back)s) * interval '1 s')
"""

_LISTENER = """
select l.instance_id::text, l.step, l.mode, l.filters, l.until, l.correlation, l.variables,
  l.offered, l."full", coalesce(i.heard_from, 0), l.heard_from, l.created_at, l.look_back,
  l.asks, l.looks
from orchestrator.listeners l
left join orchestrator.instances i on i.id = l.instance_id
"""


def lock(transaction: Transaction, namespace: str) -> datetime | None:
    """Take the lock of a namespace's matching, until the transaction ends; the time by the
    database's clock. None: somebody else has it."""
    row = transaction.one(
        "select pg_try_advisory_xact_lock(hashtextextended(%s, 0)), clock_timestamp()",
        (f"events {namespace}",),
    )
    return row[1] if row and row[0] else None


#: No offers are on their way to a listener of the instance that has closed. They would come
#: back, and who follows it has to take them before any that came later. Asked one instance at
#: a time: an `exists` may become a join of whole tables.
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
    """Listeners that wait to be looked at and can be, those of one instance together."""
    rows = transaction.all(
        f"""
        {_LISTENER}
        where l.namespace = %(namespace)s and l.asks > l.looks
          and l.instance_id in (
            select u.instance_id from orchestrator.listeners u
            where u.namespace = %(namespace)s and u.asks > u.looks and {_NO_PENDING_OFFER}
            order by u.instance_id limit %(limit)s)
        order by l.instance_id, l.step
        """,
        {"namespace": namespace, "limit": limit},
    )
    return [ListenerRow(*row) for row in rows]


def of_instances(transaction: Transaction, instances: Sequence[str]) -> list[ListenerRow]:
    """The listeners of instances that can take more. For one that waits to be looked at there
    may be older events in the mailbox: the new ones join them there."""
    rows = transaction.all(
        f"""
        {_LISTENER}
        where l.instance_id = any(%s::uuid[]) and not l.full and l.asks <= l.looks
        order by l.instance_id, l.step
        """,
        (list(instances),),
    )
    return [ListenerRow(*row) for row in rows]


def waits(session: Session, namespace: str) -> bool:
    """Whether a listener of a namespace waits to be looked at, and can be."""
    return bool(
        session.one(
            f"""
            select 1 from orchestrator.listeners u
            where u.namespace = %s and u.asks > u.looks
              -- In the order of the index: else all are read, in the hope to meet one soon.
              and {_NO_PENDING_OFFER}
            order by u.instance_id limit 1
            """,
            (namespace,),
        )
    )


def filters(
    transaction: Transaction, namespace: str, types: Sequence[str]
) -> list[tuple[str, str]]:
    """The filters with listeners that may take events of these types: ``(id, JSON text)``."""
    rows = transaction.all(
        # One key is enough: an `exists` may become a join that reads them all.
        """
        select f.id::text, f.filter::text
        from orchestrator.event_filters f
        cross join lateral (
          select from orchestrator.listener_keys k
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
    """An event that passed a filter: who has the filter, with this key or without one?
    `at` is when the event came; `dynamic`: the filter has arguments, which the listeners must
    bring along."""

    place: int
    event: int
    at: datetime
    filter: str
    key: str
    dynamic: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listener that one probe found: `place` is the probe's event, `at` the filter's place
    in the listener, in its `until` or not."""

    place: int
    filter: str
    at: int
    until: bool
    instance: str
    step: int
    mode: str
    count: int
    once: bool
    correlation: dict[str, Json] | None
    variables: dict[str, Json] | None
    offered: list[int]


def candidates(
    transaction: Transaction, probes: Sequence[Probe], look_back: float, limit: int
) -> list[Candidate]:
    """The listeners that probes find, that hear the event and have not been offered it, by
    event."""
    rows = transaction.all(
        f"""
        select p.place, p.filter_id::text, k.place, k.until, l.instance_id::text, l.step, l.mode,
          json_array_length(l.filters), l.mode <> 'all' and l.until is null, l.correlation,
          case when p.dynamic then l.variables end, l.offered
        from unnest(
          %(places)s::int[], %(events)s::bigint[], %(times)s::timestamptz[], %(filters)s::uuid[],
          %(keys)s::text[], %(dynamic)s::boolean[]) as p(place, event, at, filter_id, key, dynamic)
        join orchestrator.listener_keys k on k.filter_id = p.filter_id and k.key in (p.key, '')
        join orchestrator.listeners l on l.instance_id = k.instance_id and l.step = k.step
        join orchestrator.instances i on i.id = l.instance_id
        where not exists (
          select from orchestrator.matches m
          where m.event = p.event and m.instance_id = k.instance_id and m.step = k.step)
          and {HEARS}
        order by p.place, l.instance_id, l.step limit %(limit)s
        """,
        {
            "places": [probe.place for probe in probes],
            "events": [probe.event for probe in probes],
            "times": [probe.at for probe in probes],
            "filters": [probe.filter for probe in probes],
            "keys": [probe.key for probe in probes],
            "dynamic": [probe.dynamic for probe in probes],
            "look_back": look_back,
            "limit": limit,
        },
    )
    return [Candidate(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class OfferMade:
    """An offer that was made; `refused`: the instance turned it down."""

    event: int
    instance: str
    step: int
    refused: bool


def offers_made(transaction: Transaction, pairs: Iterable[tuple[int, str]]) -> list[OfferMade]:
    """The offers that were made of these (event, instance)."""
    given = sorted(set(pairs))
    if not given:
        return []
    rows = transaction.all(
        """
        select m.event, m.instance_id::text, m.step, m.refused
        from unnest(%s::bigint[], %s::uuid[]) as g(event, instance_id)
        join orchestrator.matches m using (event, instance_id)
        """,
        ([pair[0] for pair in given], [pair[1] for pair in given]),
    )
    return [OfferMade(*row) for row in rows]


def refused(
    transaction: Transaction, instances: Sequence[str], limit: int
) -> list[tuple[str, int]]:
    """The newest broadcast events that each instance has turned down, and that nobody else in
    it was offered since: ``(instance, event's number)``."""
    rows = transaction.all(
        """
        select r.instance_id::text, r.event
        from unnest(%s::uuid[]) as i(id)
        cross join lateral (
          select m.instance_id, m.event from orchestrator.matches m
          where m.instance_id = i.id and m.refused
            and not exists (
              select from orchestrator.matches n
              where n.event = m.event and n.instance_id = m.instance_id and not n.refused)
          order by m.event desc limit %s) r
        """,
        (list(instances), limit),
    )
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class NewOffer:
    """An event on its way to a listener; `data` is the stimulus's, in JSON text."""

    event: int
    instance: str
    step: int
    data: str


@dataclass(frozen=True, slots=True)
class ListenerUpdate:
    """What is to be remembered of a listener; `looks`: which of its asks were answered."""

    instance: str
    step: int
    correlation: dict[str, Json] | None
    offered: tuple[int, ...]
    full: bool
    looks: int


def save_listeners(transaction: Transaction, listeners: Sequence[ListenerUpdate]) -> None:
    """Remember what listeners have been offered and what was looked for. Holds them until the
    transaction ends, so that none closes while its keys are written."""
    if not listeners:
        return
    ordered = sorted(listeners, key=lambda one: (one.instance, one.step))
    columns: tuple[list[Any], ...] = (
        [one.instance for one in ordered],
        [one.step for one in ordered],
        [None if one.correlation is None else dumps(one.correlation) for one in ordered],
        ["{" + ",".join(map(str, one.offered)) + "}" for one in ordered],
        [one.full for one in ordered],
        [one.looks for one in ordered],
    )
    transaction.all(
        """
        with given as (
          select *
          from unnest(%s::uuid[], %s::int[], %s::json[], %s::text[], %s::boolean[], %s::int[])
            with ordinality as g(instance_id, step, correlation, offered, full_, looks, n)),
        held as (
          select g.* from given g
          join orchestrator.listeners l using (instance_id, step)
          order by g.n for no key update of l)
        update orchestrator.listeners l
        set correlation = h.correlation, offered = h.offered::smallint[], "full" = h.full_,
          looks = greatest(l.looks, h.looks)
        from held h
        where l.instance_id = h.instance_id and l.step = h.step
        """,
        columns,
    )


def offer(transaction: Transaction, offers: Sequence[NewOffer]) -> list[str]:
    """Offer events to listeners, each once; the instances that have been told."""
    if not offers:
        return []
    rows = transaction.all(
        """
        with given as (
          select *
          from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::json[])
            with ordinality as g(event, instance_id, step, data, n)),
        new as (
          insert into orchestrator.matches (event, instance_id, step)
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
    """Forget filters that no listener has had for a day."""
    session.all(
        """
        delete from orchestrator.event_filters f
        where f.created_at < clock_timestamp() - interval '1 day'
          and not exists (select from orchestrator.listener_keys k where k.filter_id = f.id)
          and pg_try_advisory_xact_lock(hashtextextended('events ' || f.namespace, 0))
        """
    )
