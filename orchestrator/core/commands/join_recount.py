"""Counting anew what is open in a container whose children run side by side.

Between a branch's completion and its being counted, and between a branch's being counted and
its beginning, a run may have ended. So a container that is opened again does not trust its
counter: it looks at its children.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from orchestrator.core import control_flow
from orchestrator.core.commands.step_restart import postpone_restart
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json, Status, Step
from orchestrator.core.transition_draft import Draft

#: The agenda's item that has a container join, all of its children having ended.
JOIN: Json = {"join": True}


def recount(draft: Draft, node: Node, stopped_tracks: AbstractSet[int | None]) -> None:
    """Set a reopened container's counter, and put on the agenda what follows from each track:
    a branch of a fork, an iteration of a loop. `stopped` are the tracks that others open."""
    last = _last_of_each(draft.need("children", node.id))
    open = 0
    for index in range(_begun(draft, node)):
        if index in stopped_tracks:
            open += 1
        elif index not in last:  # not begun, or skipped: then it is skipped again
            open += 1
            draft.push(node.id, {"only": index})
        elif _continues(draft, node, draft.node(last[index].id)):
            open += 1
    node.open = max(open, 1)
    if open == 0:
        draft.push(node.id, JOIN)


def _begun(draft: Draft, node: Node) -> int:
    """How many tracks have been begun, or are about to be."""
    if node.kind == "fork":
        return len(draft.workflow.tasks(node.ref + "/fork/branches"))
    begun: int = node.get_state("begun", node.get_state("count"))
    following: int = node.get_state("next", 0)
    return min(following, begun)


def _last_of_each(children: list[Step]) -> dict[int | None, Step]:
    """The newest child of each track."""
    return {child.index: child for child in sorted(children, key=lambda child: child.id)}


def _continues(draft: Draft, node: Node, child: Node) -> bool:
    """Whether something follows a track's newest child, which nobody stopped. Among
    competitors a completed one has won, and a failed one is out."""
    if child.status is not Status.COMPLETED:
        return False
    competes = node.kind == "fork" and draft.plan_of(node).task.body["fork"].get("compete")
    if node.kind == "fork" and not competes:
        return False
    if child.kind == "switch":  # where it went was not kept; it is asked again
        postpone_restart(draft, child, node.id, {})
        return True
    then = draft.plan_of(child).then
    if not competes and control_flow.follower(draft.plan_of(child).task, then) is None:
        return False
    control_flow.push_completion(draft, child, then)
    return True
