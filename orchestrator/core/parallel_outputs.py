"""The outputs of children that ran in parallel."""

from __future__ import annotations

from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json, Status, Step
from orchestrator.core.payload_size import too_large
from orchestrator.core.task_kinds import StepFaulted
from orchestrator.core.transition_draft import Draft


def outputs(draft: Draft, parent: Node) -> dict[int, Json]:
    """Return the outputs of a step's children by their `index`. Of several with the same index the
    newest completed one counts: an older one, replaced meanwhile, may have drained later. Children
    saved before this transition are loaded once."""
    newest: dict[int, Child] = {}
    for child in _children(draft, parent):
        if child.status is Status.COMPLETED and child.index is not None:
            current = newest.get(child.index)
            if current is None or current.id < child.id:
                newest[child.index] = child
    return {index: child.output for index, child in newest.items()}


def in_order(draft: Draft, by_index: dict[int, Json], count: int, parent: Node) -> list[Json]:
    """Return the outputs as an array. A skipped child's output is its input, which is the parent's.
    Raises `StepFaulted` if the array is too large."""
    joined = [by_index.get(index, parent.input) for index in range(count)]
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
