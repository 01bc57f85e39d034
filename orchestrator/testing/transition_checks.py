"""What must be true of every transition, whatever the document (DESIGN, Invariants)."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.legal_status_changes import COMPENSATION, INSTANCE, STEP, change_status
from orchestrator.core.model import (
    OPEN_STATUSES,
    ROOT,
    Compensation,
    Status,
    Step,
    Transition,
)
from orchestrator.testing.in_memory_rows import Rows


def require(condition: bool, broken: str) -> None:
    """Raise `AssertionError` unless the condition holds: the engine itself is wrong."""
    if not condition:
        raise AssertionError(broken)


def check_transition(rows: Rows, change: Transition) -> None:
    """Check a transition against the rows that it is about to change."""
    _check_instance(rows, change)
    _check_steps(rows, change)
    if change.instance.status not in OPEN_STATUSES:
        _check_ended(rows, change)


def _check_instance(rows: Rows, change: Transition) -> None:
    old, new = rows.instance, change.instance
    require(new.sequence == old.sequence + 1, "each transition has the next number (I2)")
    if new.run == old.run:
        change_status(INSTANCE, old.status, new.status)
    else:
        change_status(INSTANCE, old.status, Status.RUNNING)
        change_status(INSTANCE, Status.RUNNING, new.status)
    for one, other in _passed(old.compensation, new.compensation):
        change_status(COMPENSATION, one, other)
    if new.compensation is Compensation.NONE:
        require(
            old.compensation in (Compensation.NONE, Compensation.RUNNING),
            "a settled compensation stays",
        )
    if old.status not in OPEN_STATUSES and old.status is not new.status:
        require(new.run == old.run + 1, "a terminal status changes only by a repair (I13)")


def _check_steps(rows: Rows, change: Transition) -> None:
    new = change.instance
    for step in change.created:
        require(step.id not in rows.steps, "a new step has a new number")
        require(step.id <= new.last_number, "the instance counts its steps")
    for step in change.changed:
        old = rows.steps[step.id]
        if new.run == rows.instance.run:
            change_status(STEP, old.status, step.status)
        elif step.status is not old.status:
            change_status(STEP, old.status, Status.RUNNING)
        if old.status is Status.COMPLETED:
            require(
                old.completion_number == step.completion_number,
                "a step succeeds at most once (I2)",
            )


def _check_ended(rows: Rows, change: Transition) -> None:
    steps = {**rows.steps, **{step.id: step for step in (*change.created, *change.changed)}}
    for attempt in change.attempts:
        require(
            any(steps[id].compensates is not None for id in _path(steps, attempt.step)),
            "after the end no forward attempt starts (I14)",
        )


def _passed(old: Compensation, new: Compensation) -> list[tuple[Compensation, Compensation]]:
    """The moves from one state to another: a short compensation runs within one transition."""
    if new in COMPENSATION[old] or new is old:
        return [(old, new)]
    return [(old, Compensation.RUNNING), (Compensation.RUNNING, new)]


def _path(steps: Mapping[int, Step], id: int) -> list[int]:
    path = []
    while id != ROOT:
        path.append(id)
        id = steps[id].parent
    return path
