"""The index that leads from events to listeners: each filter once for all listeners that share it,
and entries by filter and correlation values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.json_parameters import to_text
from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An entry of the index for a listener."""

    instance: str
    step: int
    is_until: bool
    filter_index: int
    filter: str
    correlation_digest: str


@dataclass(frozen=True, slots=True)
class FilterRow:
    """A filter that listeners share; `filter` is JSON text."""

    id: str
    type: str | None
    lifecycle: bool
    filter: str


def save_filters(transaction: Transaction, namespace: str, filters: Sequence[FilterRow]) -> None:
    """Store filters unless they exist."""
    if filters:
        transaction.all(
            """
            insert into orchestrator.event_filters (id, namespace, type, lifecycle, filter)
            select id, %s, type, lifecycle, filter
            from unnest(%s::uuid[], %s::text[], %s::boolean[], %s::json[])
              as g(id, type, lifecycle, filter)
            on conflict do nothing
            """,
            (
                namespace,
                [one.id for one in filters],
                [to_text(one.type) for one in filters],
                [one.lifecycle for one in filters],
                [one.filter for one in filters],
            ),
        )


def add_entries(transaction: Transaction, keys: Sequence[IndexEntry]) -> None:
    """Add entries for those listeners that are still open."""
    if keys:
        transaction.all(
            """
            insert into orchestrator.listener_index
              (instance_id, step, is_until, filter_index, filter_id, correlation_digest)
            select g.*
            from unnest(
              %s::uuid[], %s::int[], %s::boolean[], %s::smallint[], %s::uuid[], %s::text[])
              as g(instance_id, step, is_until, filter_index, filter_id, correlation_digest)
            join orchestrator.listeners l using (instance_id, step)
            on conflict (instance_id, step, is_until, filter_index) do update
            set correlation_digest = excluded.correlation_digest
            """,
            (
                [one.instance for one in keys],
                [one.step for one in keys],
                [one.is_until for one in keys],
                [one.filter_index for one in keys],
                [one.filter for one in keys],
                [one.correlation_digest for one in keys],
            ),
        )


def entries_of(
    transaction: Transaction, listeners: Sequence[tuple[str, int]]
) -> list[tuple[IndexEntry, str]]:
    """Return the entries of these listeners, each with the filter as JSON text."""
    if not listeners:
        return []
    rows = transaction.all(
        """
        select k.instance_id::text, k.step, k.is_until, k.filter_index, k.filter_id::text,
          k.correlation_digest,
          f.filter::text
        from unnest(%s::uuid[], %s::int[]) as g(instance_id, step)
        join orchestrator.listener_index k using (instance_id, step)
        join orchestrator.event_filters f on f.id = k.filter_id
        """,
        ([one[0] for one in listeners], [one[1] for one in listeners]),
    )
    return [(IndexEntry(*row[:6]), row[6]) for row in rows]


def remove_entries(transaction: Transaction, listeners: Sequence[tuple[str, int]]) -> None:
    """Remove the entries of these listeners."""
    if listeners:
        transaction.all(
            """
            delete from orchestrator.listener_index k
            using unnest(%s::uuid[], %s::int[]) as g(instance_id, step)
            where k.instance_id = g.instance_id and k.step = g.step
            """,
            ([one[0] for one in listeners], [one[1] for one in listeners]),
        )


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
