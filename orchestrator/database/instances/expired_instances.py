"""Instances that ended long ago: found, read whole, removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import ENDED_STATUSES
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import IndexLevel, groups, matching

#: Where an instance stands in the order in which instances are looked at.
Place = tuple[datetime, str]

#: The tables that hold nothing but what belongs to one instance each.
TABLES = (
    *("steps", "attempts", "history", "dead_letters", "chunks"),
    *("stimuli", "timers", "listeners", "listener_keys"),
)

_LEVELS = (
    IndexLevel("namespace", None),
    IndexLevel("status", sorted(status.value for status in ENDED_STATUSES)),
)

_DONE = """
    i.status in ('cancelled', 'faulted', 'completed') and i.compensation <> 'running'
    and i.ended_at < clock_timestamp() - %(age)s
    -- Its compensation may have to undo a child; a child's end is told to its parent.
    and not exists (select from orchestrator.instances p where p.id = i.parent_instance)
    and not exists (select from orchestrator.instances c where c.parent_instance = i.id
      and (c.status not in ('cancelled', 'faulted', 'completed') or c.compensation = 'running'))
    -- Somebody has asked something of it, or is to decide about it, or has work of it in hand.
    and not exists (select from orchestrator.stimuli q where q.instance_id = i.id)
    and not exists (select from orchestrator.dead_letters d
      where d.instance_id = i.id and d.resolved_at is null)
    and not exists (select from orchestrator.attempts a
      where a.instance_id = i.id and a.state in ('ready', 'claimed'))
"""


def old(
    session: Session, age: timedelta, limit: int, after: Place | None
) -> list[tuple[Place, int]]:
    """Instances that ended so long ago and that nothing holds, the first created first, from
    behind a place on, with how large they are: the number of their steps, about."""
    source, params = groups("orchestrator.instances", _LEVELS)
    beyond = " and (i.created_at, i.id) > (%(at)s, %(id)s)" if after else ""
    at, id = after or (None, None)
    rows = session.all(
        f"select created_at, id::text, counter from {source} cross join lateral ("
        f" select i.created_at, i.id, i.counter from orchestrator.instances i"
        f" where {matching(_LEVELS)} and i.created_at < clock_timestamp() - %(age)s{beyond}"
        f" and {_DONE} order by i.created_at, i.id limit %(limit)s) found"
        " order by created_at, id limit %(limit)s",
        params | {"age": age, "limit": limit, "at": at, "id": id},
    )
    return [((row[0], row[1]), row[2]) for row in rows]


def lock(transaction: Transaction, ids: Sequence[str], age: timedelta) -> list[str]:
    """Those of the instances that still may go, locked: commands to them wait."""
    rows = transaction.all(
        f"select i.id::text from orchestrator.instances i where i.id = any(%(ids)s::uuid[])"
        f" and {_DONE} order by i.id for update skip locked",
        {"ids": list(ids), "age": age},
    )
    return [row[0] for row in rows]


_ROWS = (
    "(select json_agg(t order by {order}) from orchestrator.{table} t where t.instance_id = i.id)"
)
_WHOLE = (
    "select json_build_object('format', 1, 'instance', to_json(i), 'steps',"
    f" coalesce({_ROWS.format(table='steps', order='t.id')}, '[]'), 'attempts',"
    f" coalesce({_ROWS.format(table='attempts', order='t.step, t.number')}, '[]'), 'history',"
    f" coalesce({_ROWS.format(table='history', order='t.sequence')}, '[]'), 'dead_letters',"
    f" coalesce({_ROWS.format(table='dead_letters', order='t.created_at')}, '[]'))::text"
    " from orchestrator.instances i where i.id = %s"
)


def export_lines(session: Session, id: str) -> str:
    """All that is known of an instance as one line of JSON: its row, and those of its steps,
    attempts, history and dead letters, as the tables have them."""
    row = session.one(_WHOLE, (id,))
    text: str = row[0] if row else "null"
    # A line break in JSON text can only stand between its tokens.
    return text.replace("\n", " ").replace("\r", " ")


def remove(transaction: Transaction, ids: Sequence[str]) -> None:
    """Remove instances and all that belongs to them alone."""
    params: dict[str, Any] = {"ids": list(ids)}
    for table in TABLES:
        transaction.all(
            f"delete from orchestrator.{table} where instance_id = any(%(ids)s::uuid[])", params
        )
    transaction.all("delete from orchestrator.instances where id = any(%(ids)s::uuid[])", params)
