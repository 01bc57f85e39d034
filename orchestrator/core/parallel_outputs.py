"""What came of children that ran side by side."""

from __future__ import annotations

from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json, Status, Step
from orchestrator.core.payload_size import too_large
from orchestrator.core.task_kinds import StepFaulted
from orchestrator.core.transition_draft import Draft


def outputs(draft: Draft, parent: Node) -> dict[int, Json]:
    """The outputs of a step's children by their `index`: of those with the same one, the
    newest that completed (an older one may have landed later, after it was replaced).
    Children saved before this transition are loaded, once."""
    newest: dict[int, Child] = {}
    for child in _children(draft, parent):
        if child.status is Status.COMPLETED and child.index is not None:
            current = newest.get(child.index)
            if current is None or current.id < child.id:
                newest[child.index] = child
    return {index: child.output for index, child in newest.items()}


def in_order(draft: Draft, found: dict[int, Json], count: int, parent: Node) -> list[Json]:
    """The outputs as an array; what was skipped gave its input, which is the parent's. Raises
    `StepFaulted` where that is too large."""
    joined = [found.get(index, parent.input) for index in range(count)]
    if fault := too_large(joined, draft.limits.payload):
        raise StepFaulted(parent, fault.error)
    return joined


Child = Node | Step


def _children(draft: Draft, parent: Node) -> list[Child]:
    new: list[Child] = [node for node in draft.new if node.parent == parent.id]
    if parent.original is None:
        return new
    saved = draft.need("children", parent.id)
    return [draft.nodes.get(step.id, step) for step in saved] + new
