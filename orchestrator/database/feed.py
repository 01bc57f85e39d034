"""The history of all instances as one feed, read up to where every transaction has ended: a row
of a transaction that commits later can't have been passed by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.values import Json
from orchestrator.database.slices import Reader

#: A reader that has no reason to read lags behind by at least so much, in s: what made it
#: begin may have wanted to know of what came just before.
LAG = 6.0


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has come: every transaction before `tx`. `horizon`: all transactions
    before it have ended."""

    tx: int
    horizon: int


def horizon(reader: Reader) -> int:
    """Every transaction before it has ended."""
    row = reader.one("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    assert row is not None  # noqa: S101  a select without a from has a row
    return int(row[0])


def lock(cursor: Reader, name: str) -> Position | None:
    """Take the place of a reader, which is kept under a name; None: somebody else has it."""
    cursor.all(
        "insert into orchestrator.feeds (name, tx, later_tx) select %s, x.tx, x.tx"
        " from (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as tx) x"
        " where not exists (select from orchestrator.feeds where name = %s)"
        " on conflict do nothing",
        (name, name),
    )
    row = cursor.one(
        "select tx from orchestrator.feeds where name = %s for update skip locked", (name,)
    )
    return Position(row[0], horizon(cursor)) if row else None


def move(cursor: Reader, name: str, tx: int) -> None:
    """Everything before `tx` has been read."""
    cursor.all(
        "update orchestrator.feeds set tx = %s, at = clock_timestamp(), later_tx = %s,"
        " later_at = clock_timestamp() where name = %s",
        (tx, tx, name),
    )


def follow(cursor: Reader, name: str, horizon: int) -> None:
    """Nothing is to be read: stay close behind."""
    cursor.all(
        "update orchestrator.feeds set tx = later_tx, at = later_at, later_tx = %s,"
        " later_at = clock_timestamp() where name = %s"
        " and later_at < clock_timestamp() - %s * interval '1 s'",
        (horizon, name, LAG),
    )


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A row of ``history`` with whose it is."""

    tx: int
    instance: str
    sequence: int
    at: datetime
    facts: list[list[Json]]
    namespace: str
    workflow: str
    version: str


def transitions(
    reader: Reader, first: int, before: int, namespaces: Sequence[str] | None = None
) -> list[TransitionRow]:
    """The transitions of the transactions from `first` to `before` (exclusive), in the order
    of transactions, those of one instance in their own."""
    rows = reader.all(
        "select h.tx, h.instance_id::text, h.sequence, h.at, h.facts, i.namespace, i.workflow,"
        " i.version from orchestrator.history h"
        " join orchestrator.instances i on i.id = h.instance_id"
        " where h.tx >= %(first)s and h.tx < %(before)s"
        " and (%(namespaces)s::text[] is null or i.namespace = any(%(namespaces)s::text[]))"
        " order by h.tx, h.instance_id, h.sequence",
        {
            "first": first,
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
        },
    )
    return _in_order([TransitionRow(*row) for row in rows])


def _in_order(rows: list[TransitionRow]) -> list[TransitionRow]:
    """Transactions may have begun in another order than they took an instance's lock: each
    instance's rows take their places among all in the order of their sequence."""
    of: dict[str, list[TransitionRow]] = {}
    for row in rows:
        of.setdefault(row.instance, []).append(row)
    turns = {
        instance: iter(sorted(own, key=lambda one: one.sequence)) for instance, own in of.items()
    }
    return [next(turns[row.instance]) for row in rows]


def references(reader: Reader, steps: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """The references of steps, by (instance, step)."""
    given = sorted(set(steps))
    if not given:
        return {}
    rows = reader.all(
        "select s.instance_id::text, s.id, s.ref from unnest(%s::uuid[], %s::int[])"
        " as g(instance_id, id) join orchestrator.steps s using (instance_id, id)",
        ([one[0] for one in given], [one[1] for one in given]),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def outputs(reader: Reader, steps: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Json]:
    """What steps, or instances (step 0), have as their output, by (instance, step)."""
    given = sorted(set(steps))
    if not given:
        return {}
    rows = reader.all(
        "select g.instance_id::text, g.id, case when g.id = 0 then i.output else s.output end"
        " from unnest(%s::uuid[], %s::int[]) as g(instance_id, id)"
        " left join orchestrator.instances i on i.id = g.instance_id and g.id = 0"
        " left join orchestrator.steps s on s.instance_id = g.instance_id and s.id = g.id",
        ([one[0] for one in given], [one[1] for one in given]),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def interest(reader: Reader) -> dict[str, set[str] | None]:
    """Who waits for lifecycle events: by namespace the types, or None for those of any type."""
    rows = reader.all("select wanted_in, wanted from orchestrator.lifecycle_interest()")
    found: dict[str, set[str] | None] = {}
    for namespace, type in rows:
        known = found.setdefault(namespace, set())
        if type is None or known is None:
            found[namespace] = None
        else:
            known.add(type)
    return found


def events(
    reader: Reader, first: int, before: int, namespaces: Sequence[str] | None = None
) -> list[tuple[int, str, dict[str, Json]]]:
    """The events received and emitted in the transactions from `first` to `before` (exclusive),
    in their order: ``(tx, namespace, event)``. Lifecycle events, which history tells of too,
    are left out."""
    rows = reader.all(
        "select e.tx, e.namespace, e.event from orchestrator.events e"
        " where e.tx >= %(first)s and e.tx < %(before)s"
        " and (e.type not like 'io.serverlessworkflow.%%' or e.instance_id is null)"
        " and (%(namespaces)s::text[] is null or e.namespace = any(%(namespaces)s::text[]))"
        " order by e.tx, e.number",
        {
            "first": first,
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
        },
    )
    return [(row[0], row[1], row[2]) for row in rows]
