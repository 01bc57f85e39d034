"""What a compensation undid, undoes, and would undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.database.connection.json_parameters import member
from orchestrator.database.connection.session import Session
from orchestrator.database.instances.step_queries import StepRow, select_steps


@dataclass(frozen=True, slots=True)
class Undoable:
    """A step that a compensation can undo, or a step around one (`completion_number` is None).

    `child` is the sub-workflow's instance, which undoes itself.
    """

    id: int
    parent: int
    reference: str
    kind: str
    completed: bool
    outcome_unknown: bool
    child: str | None
    completion_number: int | None


_UNDOABLE = f"""
s.id, s.parent, s.reference, s.kind, s.status = 'completed' as completed, s.outcome_unknown,
case s.compensated_by when 'child' then {member("s.state", "child")} end as child
"""


def undoable(session: Session, instance: str, limit: int = 1000) -> list[Undoable]:
    """Return the steps that can be undone, the last completed first, then all steps that contain
    them."""
    rows = session.all(
        f"""
        with recursive candidates as (
          select {_UNDOABLE}, s.completion_number from orchestrator.steps s
          where s.instance_id = %(i)s and s.undoable is not null
            and (s.status = 'completed' or s.outcome_unknown or s.compensated_by = 'child')
          order by s.undoable desc limit %(n)s),
        around as (
          select {_UNDOABLE} from orchestrator.steps s, candidates c
          where s.instance_id = %(i)s and s.id = c.parent
          union
          select {_UNDOABLE} from orchestrator.steps s, around a
          where s.instance_id = %(i)s and s.id = a.parent)
        select * from candidates
        union all
        select *, null::int from around
        order by completion_number desc nulls last, id
        """,
        {"i": instance, "n": limit},
    )
    return [Undoable(*row) for row in rows]


def undoable_in_flight(session: Session, instance: str, limit: int = 1000) -> list[Undoable]:
    """Return the steps with a claimed attempt or a running sub-workflow that would be undone if
    they succeed."""
    rows = session.all(
        f"""
        select {_UNDOABLE}, null::int from orchestrator.steps s
        where s.instance_id = %s and s.compensated_by is not null and s.completion_number is null
          and s.status in ('running', 'waiting')
          and (
            s.kind in ('run', 'call') and {member("s.state", "child")} is not null
            or exists (
              select from orchestrator.attempts a
              where a.instance_id = s.instance_id and a.step = s.id and a.state = 'claimed'))
        order by s.id limit %s
        """,
        (instance, limit),
    )
    return [Undoable(*row) for row in rows]


def undoing(session: Session, instance: str, limit: int = 1000) -> list[StepRow]:
    """Return the steps that undo others, in the order of their start."""
    rows = session.all(
        f"""
        {select_steps()}
        where s.instance_id = %s and s.compensates is not null
        order by s.id limit %s
        """,
        (instance, limit),
    )
    return [StepRow(*row) for row in rows]


def undone_by(session: Session, instance: str, steps: Sequence[int]) -> dict[int, int]:
    """Return, for those of these steps that were undone or are being undone, the newest step that
    does it."""
    rows = session.all(
        """
        select compensates, max(id) from orchestrator.steps
        where instance_id = %s and compensates is not null and compensates = any(%s)
        group by 1
        """,
        (instance, list(steps)),
    )
    return {row[0]: row[1] for row in rows}
