"""A task with extensions around it (dsl-reference.md, Extension).

The step stands at the task's own reference and contains, one after the other, the `before`
tasks of each extension, the task itself, and the `after` tasks. `before` tasks begin with the
task's raw input; what they give is dropped, unless one of them says `exit`: then it is the
output, and the task is bypassed. `after` tasks begin with the task's output and what they
give replaces it. The directive is the task's.

`state`: `extensions`, the places in ``use.extensions`` of those that apply; `then`, the
directive of the task once it has completed.
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
    return [draft.plan.extensions[place] for place in node.get_state("extensions")]


def enter(draft: Draft, node: Node, _: Plan) -> None:
    """Begin the first extension's `before` tasks."""
    node.open = 1
    draft.push(node.id, {"before": 0})


def on_agenda_item(draft: Draft, node: Node, data: Json) -> None:
    """Begin the `before` tasks of the extension at a place, then the task itself."""
    for extension in _applying(draft, node)[data["before"] :]:
        if begin_list(draft, node.id, f"{extension.ref}/before", node.input):
            return
    enter_bare(draft, node.id, draft.plan_of(node).task, node.input)


def on_child_completed(draft: Draft, node: Node, child: Node, then: str | None) -> None:
    """What comes after a task of an extension, or after the task itself."""
    place = _extension_of(draft, node, child)
    if place is None:
        node.set_state(then=then)
        return _after(draft, node, 0, child.output)
    if place[1] == "before" and then == EXIT:
        return _end(draft, node, child.output, draft.plan_of(node).then)
    if proceed(draft, child, then):
        return None
    if place[1] == "before":
        return draft.push(node.id, {"before": place[0] + 1})
    return _after(draft, node, place[0] + 1, child.output)


def _extension_of(draft: Draft, node: Node, child: Node) -> tuple[int, str] | None:
    """Which of the extensions a child belongs to, and to which of its lists."""
    for number, extension in enumerate(_applying(draft, node)):
        for part in ("before", "after"):
            if child.ref.startswith(f"{extension.ref}/{part}/"):
                return number, part
    return None


def _after(draft: Draft, node: Node, number: int, output: Json) -> None:
    for extension in _applying(draft, node)[number:]:
        if begin_list(draft, node.id, f"{extension.ref}/after", output):
            return
    _end(draft, node, output, node.get_state("then"))


def _end(draft: Draft, node: Node, output: Json, then: str | None) -> None:
    """The output is given out already: the data flow is the task's, within."""
    node.open = 0
    node.output = output
    mark_completed(draft, node)
    push_completion(draft, node, then)


register("extension", TaskKind(enter, on_agenda_item, on_child_completed))
