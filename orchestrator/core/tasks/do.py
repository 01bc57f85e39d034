"""``do``: tasks one after the other (dsl-reference.md, Do).

The step's row does not change between its tasks: the next task is derived from the one that has
just completed.
"""

from __future__ import annotations

from orchestrator.core.control_flow import begin_list, complete, leaves_chain, proceed
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def enter(draft: Draft, node: Node, _: Plan) -> None:
    """Put the first task on the agenda."""
    node.open_children = 1
    draft.push(node.id)


def on_agenda_item(draft: Draft, node: Node, _: Json) -> None:
    """Begin the first task; without tasks, the input is the output."""
    if not begin_list(draft, node.id, node.reference + "/do", node.input):
        _end(draft, node, node.input)


def on_child_completed(draft: Draft, node: Node, child: Node, then: str | None) -> None:
    """Begin the next task; after the last one, its output is the list's."""
    if not proceed(draft, child, then, counts_turns=True):
        _end(draft, node, child.output, leaves_chain(then))


def _end(draft: Draft, node: Node, output: Json, then: str | None = None) -> None:
    node.open_children = 0
    complete(draft, node, output, then)


register("do", TaskKind(enter, on_agenda_item, on_child_completed))
