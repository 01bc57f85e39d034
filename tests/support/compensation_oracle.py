"""What the rules of compensation say of an instance's rows (DESIGN, Ends, undoing and keys)."""

from __future__ import annotations

from orchestrator.core.model import Compensation, Fact, Status, Step
from orchestrator.testing.in_memory_rows import Rows, chain


def must_be_undone(rows: Rows, step: Step) -> bool:
    """Whether the end of the instance undoes this step, by the rules."""
    if (step.completion_number is None and not step.outcome_unknown) or step.kind == "extension":
        return False
    above = [one for id, one in chain(rows, step.id).items() if id != step.id]
    if step.compensates is not None or any(one.compensates is not None for one in above):
        return False
    undoing = rows.workflow.task(step.reference).metadata.get("compensate")
    awaits_child = step.kind in ("run", "call") and "child" in (step.state or {})
    if undoing is None and not awaits_child:
        return False
    is_replaced = any(
        one.status is Status.COMPLETED
        and "compensate" in rows.workflow.task(one.reference).metadata
        for one in above
    )
    if "task.passed" in {fact.type for fact in facts_of(rows, step)}:
        return False
    if awaits_child and step.status is not Status.COMPLETED:
        # Only one that undoes itself, and has something to undo, has a place to be undone at.
        return step.completion_number is not None and not is_replaced
    known = step.status is Status.COMPLETED or (undoing or {}).get("onUnknown") is True
    return known and not is_replaced


def facts_of(rows: Rows, step: Step) -> list[Fact]:
    return [fact for change in rows.history for fact in change.facts if fact.step == step.id]


def undone(rows: Rows) -> list[Step]:
    """The compensating steps, in the order of their beginning. Not those that asked a sub-workflow
    which had nothing to undo: it may be asked again."""
    found = [step for step in rows.steps.values() if step.compensates is not None]
    found = [step for step in found if not (step.state or {}).get("nothing_to_undo")]
    return sorted(found, key=lambda step: step.id)


def asked_for_nothing(rows: Rows) -> set[int]:
    """The steps whose sub-workflows had nothing to undo."""
    return {
        step.compensates
        for step in rows.steps.values()
        if step.compensates is not None and (step.state or {}).get("nothing_to_undo")
    }


def told_late(rows: Rows) -> set[int]:
    """The steps whose sub-workflows succeeded after the instance had ended and undone what there
    was: they were told to undo themselves, and nobody waited for that; or, where nothing had been
    undone, they stand for a retry."""
    given = {step.compensates for step in rows.steps.values() if step.compensates is not None}
    return {
        step.id
        for step in rows.steps.values()
        if step.kind == "run" and step.status is Status.COMPLETED
        if step.id not in given
        if step.compensated_by is None or rows.instance.compensation is Compensation.NONE
        if any(
            fact.type == "task.completed" and (fact.data or {}).get("late")
            for fact in facts_of(rows, step)
        )
    }
