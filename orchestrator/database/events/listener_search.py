"""Finds the listeners of new events, by the filters that they share and the correlation values that
they expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction

#: The condition of `ListenerRow.may_receive` for a broadcast event p that is matched for the first
#: time.
MAY_RECEIVE = """
p.event > coalesce(i.heard_from, 0)
  and (
    l.heard_from is null
    or p.event > l.heard_from
    or p.at >= l.created_at - coalesce(l.look_back, %(look_back)s) * interval '1 s')
"""


def filters(
    transaction: Transaction, namespace: str, types: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the filters with listeners that may accept events of these types: ``(id, JSON
    text)``."""
    rows = transaction.all(
        # Use a lateral join with `limit 1` instead of `exists`. Postgres could turn `exists` into a
        # join that reads the whole table `listener_index`.
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
          and {MAY_RECEIVE}
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
