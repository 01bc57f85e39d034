"""``metadata.onMemberFault: finish``: the other branches or iterations run to their end although
one has faulted, and the join faults with the first error.

`state` of the container: `fault`, the first error.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import withdrawal
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json, Status, Step
from orchestrator.core.task_kinds import StepFaulted
from orchestrator.core.task_plan import is_parallel
from orchestrator.core.transition_draft import Draft


def others_finish(draft: Draft, node: Node) -> bool:
    """Whether the other members of a parallel container run to their end."""
    task = draft.plan_of(node).task
    return task.metadata.get("onMemberFault") == "finish" and is_parallel(task)


def record_fault(
    draft: Draft, node: Node, child: Node, error: Mapping[str, Json], others_open: bool
) -> None:
    """Record a member's error. `others_open`: steps within that member may be open; they stop."""
    if others_open:
        withdrawal.withdraw(draft, child.id)
    if node.get_state("fault") is None:
        node.set_state(fault=dict(error))


def raise_first(node: Node) -> None:
    """Raise `StepFaulted` with the first error, if a member has faulted. All members have ended."""
    error = node.get_state("fault")
    if error is not None:
        raise StepFaulted(node, error)


def passes_errors_on(draft: Draft, node: Node) -> bool:
    """Whether the container itself faults, later, with an error that it has handled."""
    rethrows = node.kind == "try" and draft.plan_of(node).task.metadata.get("rethrow") is True
    return rethrows or others_finish(draft, node)


def mark_stopped(draft: Draft, node: Node, run: int) -> list[Node]:
    """Mark a faulted step and all that has not completed in it as stopped in this run, so that a
    retry restarts that and nothing else. Return the faulted steps that have no such step inside."""
    node.set_state(stopped=run)
    unfinished = _unfinished(draft, node)
    if not unfinished:
        return [node] if node.status is Status.FAULTED else []
    return [origin for child in unfinished for origin in mark_stopped(draft, child, run)]


#: Kinds of steps that have no steps inside, unless a call is one of a function.
_WITHOUT_CHILDREN = frozenset({"call", "emit", "raise", "run", "set", "switch", "wait"})


def _unfinished(draft: Draft, node: Node) -> list[Node]:
    """Return the newest child of each track of a parallel container, or the newest one of another
    container, without those of the handler and without completed ones."""
    if node.original is None:
        saved: list[Step] = []
    elif node.kind in _WITHOUT_CHILDREN and not node.open_children:
        return []
    else:
        saved = draft.need("children", node.id)
    children: list[Node | Step] = [draft.nodes.get(step.id, step) for step in saved]
    children += [new for new in draft.new if new.parent == node.id]
    handler, parallel = node.reference + "/catch/", is_parallel(draft.plan_of(node).task)
    newest: dict[int | None, Node | Step] = {}
    for child in sorted(children, key=lambda child: child.id):
        if not child.reference.startswith(handler) and child.compensates is None:
            newest[child.index if parallel else None] = child
    # The list of a container's children contains only a part of each step's data. So load each
    # child that is about to change as a whole (`draft.node`).
    return [
        draft.node(child.id) for child in newest.values() if child.status is not Status.COMPLETED
    ]
