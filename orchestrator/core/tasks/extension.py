"""A task with extensions around it (dsl-reference.md, Extension).

The step has the task's own reference. It contains, one after the other, the `before` tasks of each
extension, the task itself, and the `after` tasks. `before` tasks begin with the task's raw input;
their output is dropped, unless one of them has the directive `exit`: then it is the output, and the
task is skipped. `after` tasks begin with the task's output, and their output replaces it. The
directive is the task's.

`state`: `extensions`, the indices in ``use.extensions`` of those that apply; `then`, the directive
of the task once it has completed.
"""

from __future__ import annotations

from orchestrator.core.control_flow import (
    EXIT,
    begin_list,
    enter_bare,
    mark_completed,
    proceed,
    push_completion,
)
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Extension, Plan
from orchestrator.core.transition_draft import Draft


def _applying(draft: Draft, node: Node) -> list[Extension]:
    return [draft.plan.extensions[position] for position in node.get_state("extensions")]


def enter(draft: Draft, node: Node, _: Plan) -> None:
    """Put the first extension's `before` tasks on the agenda."""
    node.open_children = 1
    draft.push(node.id, {"before": 0})


def on_agenda_item(draft: Draft, node: Node, data: Json) -> None:
    """Begin the `before` tasks of the extension at an index, then the task itself."""
    for extension in _applying(draft, node)[data["before"] :]:
        if begin_list(draft, node.id, f"{extension.reference}/before", node.input):
            return
    enter_bare(draft, node.id, draft.plan_of(node).task, node.input)


def on_child_completed(draft: Draft, node: Node, child: Node, then: str | None) -> None:
    """Begin what follows a task of an extension, or the task itself."""
    position = _extension_of(draft, node, child)
    if position is None:
        node.set_state(then=then)
        return _begin_after_tasks(draft, node, 0, child.output)
    if position[1] == "before" and then == EXIT:
        return _end(draft, node, child.output, draft.plan_of(node).then)
    if proceed(draft, child, then):
        return None
    if position[1] == "before":
        return draft.push(node.id, {"before": position[0] + 1})
    return _begin_after_tasks(draft, node, position[0] + 1, child.output)


def _extension_of(draft: Draft, node: Node, child: Node) -> tuple[int, str] | None:
    """Return the index of the extension that a child belongs to, and the name of its list."""
    for index, extension in enumerate(_applying(draft, node)):
        for part in ("before", "after"):
            if child.reference.startswith(f"{extension.reference}/{part}/"):
                return index, part
    return None


def _begin_after_tasks(draft: Draft, node: Node, index: int, output: Json) -> None:
    for extension in _applying(draft, node)[index:]:
        if begin_list(draft, node.id, f"{extension.reference}/after", output):
            return
    _end(draft, node, output, node.get_state("then"))


def _end(draft: Draft, node: Node, output: Json, then: str | None) -> None:
    """Complete the step. Its child has transformed the output already."""
    node.open_children = 0
    node.output = output
    mark_completed(draft, node)
    push_completion(draft, node, then)


register("extension", TaskKind(enter, on_agenda_item, on_child_completed))
