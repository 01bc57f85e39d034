"""Instances that ended long ago: find them, export them, remove them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import ENDED_STATUSES
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import ENDED
from orchestrator.database.keyset_pages import IndexLevel, level_combinations, matching

#: The position of an instance in the order of the search.
Position = tuple[datetime, str]

#: The tables whose rows belong to one instance each.
TABLES = (
    *("steps", "attempts", "history", "dead_letters", "item_chunks"),
    *("stimuli", "timers", "listeners", "listener_index"),
)

_LEVELS = (
    IndexLevel("namespace", None),
    IndexLevel("status", sorted(status.value for status in ENDED_STATUSES)),
)

_DONE = f"""
    i.status in {ENDED} and i.compensation <> 'running'
    and i.ended_at < clock_timestamp() - %(age)s
    -- Its compensation may still undo a child; a child's end is reported to its parent.
    and not exists (select from orchestrator.instances p where p.id = i.parent_instance)
    and not exists (select from orchestrator.instances c where c.parent_instance = i.id
      and (c.status not in {ENDED} or c.compensation = 'running'))
    -- No stimulus waits, no dead letter is open, and no attempt is ready or claimed.
    and not exists (select from orchestrator.stimuli q where q.instance_id = i.id)
    and not exists (select from orchestrator.dead_letters d
      where d.instance_id = i.id and d.resolved_at is null)
    and not exists (select from orchestrator.attempts a
      where a.instance_id = i.id and a.state in ('ready', 'claimed'))
"""


def old(
    session: Session, age: timedelta, limit: int, after: Position | None
) -> list[tuple[Position, int]]:
    """Return instances that ended so long ago and that nothing needs, the first created first,
    after a position.

    Each with its size: roughly the number of its steps.
    """
    source, params = level_combinations("orchestrator.instances", _LEVELS)
    beyond = " and (i.created_at, i.id) > (%(at)s, %(id)s)" if after else ""
    at, id = after or (None, None)
    rows = session.all(
        f"""
        select created_at, id::text, last_number from {source}
        cross join lateral (
          select i.created_at, i.id, i.last_number
          from orchestrator.instances i
          where {matching(_LEVELS)} and i.created_at < clock_timestamp() - %(age)s{beyond}
            and {_DONE}
          order by i.created_at, i.id limit %(limit)s) found
        order by created_at, id limit %(limit)s
        """,
        params | {"age": age, "limit": limit, "at": at, "id": id},
    )
    return [((row[0], row[1]), row[2]) for row in rows]


def lock(transaction: Transaction, ids: Sequence[str], age: timedelta) -> list[str]:
    """Lock those of the instances that may still be removed, and return them: commands to them
    wait."""
    rows = transaction.all(
        f"""
        select i.id::text from orchestrator.instances i
        where i.id = any(%(ids)s::uuid[]) and {_DONE}
        order by i.id for update skip locked
        """,
        {"ids": list(ids), "age": age},
    )
    return [row[0] for row in rows]


_ROWS = (
    "(select json_agg(t order by {order}) from orchestrator.{table} t where t.instance_id = i.id)"
)
_WHOLE = f"""
select json_build_object('format', 1, 'instance', to_json(i),
  'steps', coalesce({_ROWS.format(table="steps", order="t.id")}, '[]'),
  'attempts', coalesce({_ROWS.format(table="attempts", order="t.step, t.number")}, '[]'),
  'history', coalesce({_ROWS.format(table="history", order="t.sequence")}, '[]'),
  'dead_letters', coalesce({_ROWS.format(table="dead_letters", order="t.created_at")}, '[]'))::text
from orchestrator.instances i
where i.id = %s
"""


def export_lines(session: Session, id: str) -> str:
    """Return the complete data of an instance as one line of JSON: the rows of the instance, its
    steps, attempts, history and dead letters, with the columns of the tables."""
    row = session.one(_WHOLE, (id,))
    text: str = row[0] if row else "null"
    # Replace line breaks by spaces, so that each instance is one line of the export. In JSON text a
    # line break can stand only between tokens, so this does not change the data.
    return text.replace("\n", " ").replace("\r", " ")


def remove(transaction: Transaction, ids: Sequence[str]) -> None:
    """Remove instances and all rows that belong to them alone."""
    params: dict[str, Any] = {"ids": list(ids)}
    for table in TABLES:
        transaction.all(
            f"delete from orchestrator.{table} where instance_id = any(%(ids)s::uuid[])", params
        )
    transaction.all("delete from orchestrator.instances where id = any(%(ids)s::uuid[])", params)
