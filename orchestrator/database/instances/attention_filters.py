"""Instances by what they wait for, and by what a person should look at.

Neither is a column: it follows from rows of other tables, each found by an index. Where few
instances have it, they are selected by their ids. Where many have it, each instance is asked, in
the order of the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.keyset_pages import Condition
from orchestrator.database.workers.liveness_queries import LIVE

#: The largest number of instances that are selected by their ids.
FEW = 2000

#: Seconds after which a stimulus should have been applied, a timer fired, an attempt claimed.
_INBOX, _TIMER, _CLAIM = 15, 10, 300


def _late(column: str, seconds: int) -> str:
    return f"{column} < clock_timestamp() - interval '{seconds} s'"


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows from which something follows: the instance's column, the table and the condition."""

    column: str
    table: str
    where: str

    def ids(self) -> str:
        """Return SQL for the instances, those of several rows repeatedly."""
        return f"select {self.column} as id from {self.table} where {self.where}"

    def exists(self) -> str:
        """Return the condition for one instance of a list."""
        return (
            f"exists (select from {self.table} where {self.column} = instances.id and {self.where})"
        )


#: A ready attempt that no live worker can run.
_UNSERVED = f"""
x.state = 'ready' and (
  {_late("x.created_at", _CLAIM)}
  or (x.queue, x.task, x.time_limit is not null) in (
    select k.queue, k.task, k.limited
    from (
      select distinct queue, task, time_limit is not null as limited
      from orchestrator.attempts where state = 'ready') k
    where not exists (
      select from orchestrator.workers
      where {LIVE} and k.queue = any(queues) and k.task = any(tasks)
        and (not k.limited or pool = 'prefork'))))
"""

_STUCK = (
    _Source("x.instance_id", "orchestrator.attempts x", _UNSERVED),
    _Source(
        "x.instance_id",
        "orchestrator.stimuli x join orchestrator.instances o on o.id = x.instance_id",
        f"(x.deferred or {_late('x.created_at', _INBOX)}) and o.status <> 'suspended'",
    ),
    _Source(
        "x.instance_id",
        "orchestrator.timers x join orchestrator.instances o on o.id = x.instance_id",
        f"{_late('x.due_at', _TIMER)} and o.status <> 'suspended'",
    ),
)
_RETRYING = _Source("x.instance_id", "orchestrator.timers x", "x.kind = 'retry'")

#: States of an instance that need a person, with the rows that show each.
ATTENTION: Mapping[str, tuple[_Source, ...]] = {
    "stuck": _STUCK,
    "dead_letter": (
        _Source("x.instance_id", "orchestrator.dead_letters x", "x.resolved_at is null"),
    ),
    "outcome_unknown": (_Source("x.instance_id", "orchestrator.steps x", "x.outcome_unknown"),),
    "held": (
        _Source(
            "x.id",
            "orchestrator.instances x",
            "x.status = 'faulted' and x.compensation = 'none'",
        ),
    ),
    "retrying": (_RETRYING,),
}
#: What an instance can wait for, with the rows that show it.
WAITING_FOR: Mapping[str, tuple[_Source, ...]] = {
    "task": (
        _Source("x.instance_id", "orchestrator.attempts x", "x.state = 'ready'"),
        _Source("x.instance_id", "orchestrator.attempts x", "x.state = 'claimed'"),
    ),
    "event": (_Source("x.instance_id", "orchestrator.listeners x", "true"),),
    "timer": (_Source("x.instance_id", "orchestrator.timers x", "x.kind in ('wait', 'start')"),),
    "retry": (_RETRYING,),
    "workflow": (
        _Source(
            "x.parent_instance",
            "orchestrator.instances x",
            f"x.parent_instance is not null and x.status in {OPEN}",
        ),
    ),
}
_ALL = {**WAITING_FOR, **ATTENTION}
#: An instance also has these if a sub-workflow that it awaits has them.
_INHERITED = frozenset({"stuck"})


@dataclass
class Attended:
    """What was found of the instances with each value; read once however often it is asked for."""

    session: Session
    lease: float
    _found: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    def ids(self, values: Sequence[str]) -> tuple[str, ...] | None:
        """Return the instances with any of these values; None: more than `FEW`."""
        found: set[str] = set()
        for value in values:
            if value not in self._found:
                self._found[value] = self._read(value)
            ids = self._found[value]
            if ids is None:
                return None
            found.update(ids)
        return tuple(found) if len(found) <= FEW else None

    def _read(self, value: str) -> tuple[str, ...] | None:
        # Limit the rows that are read, not only the instances: one instance may have many such
        # rows, so a limit on the instances alone would not bound the work.
        rows = " union all ".join(
            f"(select id from ({source.ids()}) each limit %(rows)s)" for source in _ALL[value]
        )
        found = f"select distinct id from ({rows}) every"
        if value in _INHERITED:
            found = f"""
                with recursive found(id) as (
                  {found}
                  union
                  select i.parent_instance
                  from orchestrator.instances i join found on found.id = i.id
                  where i.parent_instance is not null and i.parent_step is not null)
                select id from found
            """
        ids = self.session.all(
            f"select id::text from ({found}) few limit %(few)s",
            {"few": FEW + 1, "rows": 10 * FEW + 1, "lease": self.lease},
        )
        return tuple(row[0] for row in ids) if len(ids) <= FEW else None

    def condition(self, values: Sequence[str], *, none: bool = False) -> Condition:
        """Return the condition for instances with any of these values, or with `none` of them."""
        params: dict[str, Any] = {"lease": self.lease}
        any_of = " or ".join(source.exists() for value in values for source in _ALL[value])
        return f"{'not ' if none else ''}({any_of})", params
