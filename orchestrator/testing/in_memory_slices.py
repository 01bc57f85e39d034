"""What the core may need besides its slice, read from the rows of an instance in memory, as
`orchestrator.database` reads it by SQL (see `orchestrator.core.model.Need`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.core.model import ROOT, Attempt, ItemChunk, Status, Step

Steps = Mapping[int, Step]


def chain(steps: Steps, step: int) -> dict[int, Step]:
    """A step with its ancestors, as far as they exist."""
    found: dict[int, Step] = {}
    while step != ROOT and step in steps:
        found[step] = steps[step]
        step = found[step].parent
    return found


def children(steps: Steps, parent: int) -> list[Step]:
    """The children of a step, with the columns that the database reads."""
    return [
        Step(
            id=step.id,
            parent=step.parent,
            reference=step.reference,
            kind=step.kind,
            status=step.status,
            index=step.index,
            output=step.output,
            error=step.error,
            completion_number=step.completion_number,
            compensates=step.compensates,
            started_at=step.started_at,
            ended_at=step.ended_at,
        )
        for _, step in sorted(steps.items())
        if step.parent == parent
    ]


def undo(steps: Steps, before: int) -> tuple[Step | None, dict[int, Step]]:
    """The step to undo next, with its ancestors."""
    found = [
        step
        for step in steps.values()
        if step.compensated_by is not None
        and step.completion_number is not None
        and step.completion_number < before
        and (
            step.status is Status.COMPLETED
            or step.outcome_unknown
            or step.compensated_by == "child"
        )
    ]
    if not found:
        return None, {}
    step = max(found, key=lambda step: step.completion_number or 0)
    return step, chain(steps, step.id)


def items(chunks: Mapping[tuple[int, int], ItemChunk], step: int, index: int) -> ItemChunk | None:
    """The part of a long `for` that contains an item."""
    found = [one for (of, at), one in chunks.items() if of == step and at <= index]
    return max(found, key=lambda one: one.index, default=None)


def newest(attempts: Iterable[Attempt], step: int) -> Attempt | None:
    """The newest attempt of a step."""
    found = [one for one in attempts if one.step == step]
    return max(found, key=lambda one: one.number, default=None)


def stopped(steps: Steps, run: int) -> list[Step]:
    """The steps that the end of a run stopped."""
    found = (step for _, step in sorted(steps.items()))
    return [step for step in found if (step.state or {}).get("stopped") == run]
