"""``fork``: parallel branches, each from the fork's input (dsl-reference.md, Fork).

The step's `open_children` counts the branches that have not ended. At zero the fork joins: its
output is theirs in the order of declaration. With `compete` the first branch to complete wins and
the others are withdrawn; the fork faults only when all of them have. With `metadata.rollback` it
then waits until the other branches have drained, and undoes what they completed: the output is the
winner's, and nothing of the winner is undone. With `metadata.onMemberFault: finish` all other
branches run to their end although one has faulted; then the fork faults with the first error.

`state`: with `rollback`, `won` is the winner's ``{"index", "step"}`` (no step: it was skipped);
`fault`, the first error, if the other branches finish.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, control_flow, member_faults, withdrawal
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import standard_error
from orchestrator.core.model import Json
from orchestrator.core.parallel_outputs import in_order, outputs
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft
from orchestrator.document.model import TaskList

#: Status of the error that compensations of losing branches get: conflict.
LOST_STATUS = 409


def _branches(draft: Draft, node: Node) -> TaskList:
    return draft.workflow.tasks(node.reference + "/fork/branches")


def _competes(draft: Draft, node: Node) -> bool:
    return draft.plan_of(node).task.body["fork"].get("compete") is True


def enter(draft: Draft, node: Node, _: Plan) -> None:
    """Begin the branches, one item of the agenda each; without branches the output is empty."""
    node.open_children = len(_branches(draft, node))
    if node.open_children == 0:
        return control_flow.complete(draft, node, None if _competes(draft, node) else [])
    return draft.push(node.id, {"from": 0})


def on_agenda_item(draft: Draft, node: Node, data: Json) -> None:
    """Continue the fork. ``{"from": index}`` begins a branch and puts the next one on the agenda,
    ``{"only": index}`` begins one branch; after ``{"join": true}`` all have ended. In a rollback:
    ``drained``, the losing branches have drained; ``undo``, the next step is to be undone;
    ``undone``, none is left."""
    if "join" in data:
        return _join(draft, node)
    if "drained" in data:
        return _roll_back(draft, node)
    if "undo" in data:
        return compensation.undo_next(draft, node)
    if "undone" in data:
        return control_flow.complete(draft, node, _output_of_winner(draft, node))
    if node.get_state("won") is not None:  # the remaining branches no longer begin
        return None
    branches = _branches(draft, node)
    index = data.get("from", data.get("only"))
    if "from" in data and index + 1 < len(branches):
        draft.push(node.id, {"from": index + 1})
    if not control_flow.enter(draft, node.id, branches[index], node.input, None, index):
        _on_branch_completed(draft, node, None, node.input, index)
    return None


def on_child_completed(draft: Draft, node: Node, child: Node, _: str | None) -> None:
    """Count a completed branch; its directive is ignored. A second one in the same transition has
    lost."""
    if node.get_state("won") is not None:
        return
    _on_branch_completed(draft, node, child, child.output, child.index)


def _on_branch_completed(
    draft: Draft, node: Node, child: Node | None, output: Json, index: int | None
) -> None:
    """Handle the output of a branch; a skipped one has no step, its output is its input."""
    if _competes(draft, node):
        return _on_first_success(draft, node, child, output, index)
    node.open_children -= 1
    return _join(draft, node) if node.open_children == 0 else None


def _join(draft: Draft, node: Node) -> None:
    node.open_children = 0
    member_faults.raise_first(node)
    count = len(_branches(draft, node))
    control_flow.complete(draft, node, in_order(draft, outputs(draft, node), count, node))


def _on_first_success(
    draft: Draft, node: Node, child: Node | None, output: Json, index: int | None
) -> None:
    rolls_back = draft.plan_of(node).task.metadata.get("rollback") is True
    draining = 0
    if node.open_children > 1 and _has_other_branches(draft, node, child):
        waiter = node.id if rolls_back else None
        draining = withdrawal.withdraw(draft, node.id, waiter=waiter)
    if not rolls_back:
        node.open_children = 0
        return control_flow.complete(draft, node, output)
    node.set_state(won={"index": index, "step": None if child is None else child.id})
    node.open_children = draining
    return None if draining else _roll_back(draft, node)


def _roll_back(draft: Draft, node: Node) -> None:
    """Undo what completed in the losing branches since the fork began."""
    cause = {**standard_error("runtime", "another branch has won", LOST_STATUS), "title": "Lost"}
    compensation.roll_back(draft, node, cause, node.id)


def _output_of_winner(draft: Draft, node: Node) -> Json:
    step = node.get_state("won")["step"]
    return node.input if step is None else draft.node(step).output


def resume(draft: Draft, node: Node) -> bool:
    """Continue the rollback if a branch had won before the fork was stopped, and return True."""
    if node.get_state("won") is None:
        return False
    node.open_children = 1
    draft.push(node.id, {"undo": True} if node.get_state("undo") else {"drained": True})
    return True


def _has_other_branches(draft: Draft, node: Node, child: Node | None) -> bool:
    """Whether another branch may be open: a saved one, or a new one of this transition."""
    return node.original is not None or any(
        other.parent == node.id and other.is_open and other is not child for other in draft.new
    )


def handles_error(draft: Draft, node: Node, _: Node, __: Mapping[str, Json]) -> bool:
    """Whether other branches continue. Of competing branches only the last one's error counts."""
    if _competes(draft, node):
        return node.open_children > 1
    return member_faults.others_finish(draft, node)


def on_error(
    draft: Draft, node: Node, child: Node, error: Mapping[str, Json], others_open: bool
) -> None:
    """Count one branch less."""
    if _competes(draft, node):
        if others_open:
            withdrawal.withdraw(draft, child.id)
        node.open_children -= 1
        return
    member_faults.record_fault(draft, node, child, error, others_open)
    node.open_children -= 1
    if node.open_children == 0:
        _join(draft, node)


register("fork", TaskKind(enter, on_agenda_item, on_child_completed, handles_error, on_error))
