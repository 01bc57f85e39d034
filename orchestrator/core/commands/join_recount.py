"""Recount the open tracks of a container with parallel children: branches, iterations.

A run may have ended after a branch completed and before it was counted, or after it was counted and
before the next one began. So a container that is reopened is recounted from its children.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from orchestrator.core import control_flow
from orchestrator.core.commands.step_restart import postpone_restart
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json, Status, Step
from orchestrator.core.transition_draft import Draft

#: Agenda item that joins a container whose children have all ended.
JOIN: Json = {"join": True}


def recount(draft: Draft, node: Node, stopped_tracks: AbstractSet[int | None]) -> None:
    """Set a reopened container's counter, and put the next move of each track on the agenda.
    `stopped_tracks` are reopened by the caller."""
    newest = _newest_per_track(draft.need("children", node.id))
    open = 0
    for index in range(_begun_tracks(draft, node)):
        if index in stopped_tracks:
            open += 1
        elif index not in newest:  # not begun yet, or skipped: it will be skipped again
            open += 1
            draft.push(node.id, {"only": index})
        elif _continues(draft, node, draft.node(newest[index].id)):
            open += 1
    node.open_children = max(open, 1)
    if open == 0:
        draft.push(node.id, JOIN)


def _begun_tracks(draft: Draft, node: Node) -> int:
    """Return how many tracks have begun or are about to begin."""
    if node.kind == "fork":
        return len(draft.workflow.tasks(node.reference + "/fork/branches"))
    begun: int = node.get_state("begun", node.get_state("count"))
    following: int = node.get_state("next", 0)
    return min(following, begun)


def _newest_per_track(children: list[Step]) -> dict[int | None, Step]:
    """Return the newest child of each track."""
    return {child.index: child for child in sorted(children, key=lambda child: child.id)}


def _continues(draft: Draft, node: Node, child: Node) -> bool:
    """Whether a track continues after its newest child, which no run's end has stopped. Among
    competing branches a completed one has won, a failed one has lost."""
    if child.status is not Status.COMPLETED:
        return False
    competes = node.kind == "fork" and draft.plan_of(node).task.body["fork"].get("compete")
    if node.kind == "fork" and not competes:
        return False
    if child.kind == "switch":  # its decision was not stored: evaluate it again
        postpone_restart(draft, child, node.id, {})
        return True
    then = draft.plan_of(child).then
    if not competes and control_flow.following_task(draft.plan_of(child).task, then) is None:
        return False
    control_flow.push_completion(draft, child, then)
    return True
