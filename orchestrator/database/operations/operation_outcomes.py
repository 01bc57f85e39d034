"""What became of each instance that a bulk operation has reached.

The audit log names the instances, with the `sequence` that each had before; its history has the
operation's command soon after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.json_parameters import inner_member, readable
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Page

#: Transitions after the `sequence` among which the command is looked for.
_MOST_TRANSITIONS = 200
#: Largest number of instances whose outcomes are counted.
MOST_COUNTED = 2_000

OUTCOMES = ("moved", "faulted_again", "refused", "pending", "gone")


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """An instance that an operation has reached. `reason`: why it refused the command."""

    entry: int
    instance: str
    business_id: str | None
    outcome: str
    reason: str | None
    status: str | None
    compensation: str | None


_REACHED = """
select l.id, l.target, (l.details ->> 'sequence')::int as sequence
from orchestrator.audit_log l
where l.operation = %(operation)s and l.id > %(after)s
order by l.id limit %(limit)s
"""

#: `offset 0`: the planner must not turn the lookup by key into a join of whole tables.
_OUTCOMES = f"""
with reached as materialized ({_REACHED})
select r.id, r.target, i.business_id,
  case
    when h.refused is not null then 'refused'
    when i.id is null then 'gone'
    when h.sequence is null then 'pending'
    when %(action)s = 'retry' and i.status = 'faulted' then 'faulted_again'
    else 'moved'
  end,
  h.refused, i.status, i.compensation
from reached r
left join lateral (
  select i.id, i.business_id, i.status, i.compensation
  from orchestrator.instances i where i.id = r.target::uuid offset 0) i on true
left join lateral (
  select h.sequence, (
    select f -> 2 ->> 'reason' from json_array_elements({readable("h.facts")}) f
    where f ->> 0 = 'command.refused' limit 1) as refused
  from (
    select h.sequence, h.stimulus, h.facts from orchestrator.history h
    where h.instance_id = r.target::uuid and h.sequence > r.sequence
    order by h.sequence limit {_MOST_TRANSITIONS}) h
  where {inner_member("h.stimulus", "data", "operation")} = %(operation)s
  limit 1) h on true
order by r.id
"""


def listed(session: Session, operation: str, action: str, limit: int, after: int) -> Page:
    """Return outcomes in the order in which the operation reached the instances; rows are those of
    `OutcomeRow`. `after`: the `entry` of the last one before."""
    params: dict[str, Any] = {
        "operation": operation,
        "action": action,
        "limit": limit + 1,
        "after": after,
    }
    rows = session.all(_OUTCOMES, params)
    return Page(rows[:limit], [rows[limit - 1][0]] if len(rows) > limit else None)


def counted(session: Session, operation: str, action: str) -> tuple[dict[str, int], bool]:
    """Return how many instances have each outcome, and whether that is all of them: at most
    `MOST_COUNTED` are counted."""
    found = listed(session, operation, action, MOST_COUNTED, 0)
    return counts_of([row[3] for row in found.rows]), found.last is None


def counts_of(outcomes: Sequence[str]) -> dict[str, int]:
    """Return the number of each outcome."""
    return {name: outcomes.count(name) for name in OUTCOMES}
