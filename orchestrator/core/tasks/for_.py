"""``for``: a list of tasks for each item of a collection (dsl-reference.md, For).

`while` is evaluated before each iteration, with the loop's variables. An iteration begins with the
output of the one before, and the last one's output is the loop's. With `metadata.concurrency: N` up
to N iterations run in parallel, each from the loop's input, and the output is the array of theirs.
The children's `index` is their iteration. With `metadata.onMemberFault: finish` as well all others
run to their end although one has faulted; then the loop faults with the first error.

The cost of an iteration does not grow with their number: the loop's row does not change between
iterations, and the items of a long collection are stored in chunks.

`state`: `count`, the number of items; `items`, if they are few; with concurrency `next`, the
iteration to begin after one has ended, and `begun`, their number if `while` has stopped the loop;
`fault`, the first error, if the others finish.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import dsl_errors, member_faults
from orchestrator.core.control_flow import begin_list, complete, leaves_chain, proceed
from orchestrator.core.data_flow import as_program, evaluate_at, is_true, render
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_evaluation import check_size
from orchestrator.core.expression_template import Expression, Template
from orchestrator.core.model import ItemChunk, Json
from orchestrator.core.parallel_outputs import in_order, outputs
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


class Loop:
    """A `for` task, read once."""

    __slots__ = ("at", "concurrency", "each", "items", "while_")

    def __init__(self, plan: Plan) -> None:
        body = plan.task.body
        loop = body["for"]
        self.each: str = loop.get("each", "item")
        self.at: str = loop.get("at", "index")
        source = loop["in"]
        self.items: Expression | Template = (
            Expression(source, "for.in")
            if isinstance(source, str)
            else Template(source, "for.in", loose=plan.loose)
        )
        self.while_ = as_program(body.get("while"), "while")
        concurrency = plan.task.metadata.get("concurrency")
        self.concurrency: int | None = max(1, concurrency) if isinstance(concurrency, int) else None


def loop_of(plan: Plan) -> Loop:
    """Return the loop of a `for` task."""
    loop: Loop | None = plan.kind_plan
    if loop is None:
        loop = plan.kind_plan = Loop(plan)
    return loop


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Evaluate and store the items, then begin the first iteration, or the first N."""
    loop = loop_of(plan)
    items = _items(draft, node, loop)
    if items is None:
        return complete(draft, node, node.input)
    node.set_state(count=len(items))
    _store_items(draft, node, items)
    if loop.concurrency is None:
        node.open_children = 1
        return draft.push(node.id, {"at": 0})
    node.open_children = _initial_iterations(draft, node)
    node.set_state(next=node.open_children)
    if node.open_children == 0:
        return complete(draft, node, [])
    return draft.push(node.id, {"from": 0})


def _items(draft: Draft, node: Node, loop: Loop) -> list[Json] | None:
    source = loop.items
    if isinstance(source, Expression):
        items = evaluate_at(draft, node, source, node.input)
        items = items if source.only_copies else check_size(draft, items)
    else:
        items = render(draft, node, source, node.input)
    if items is not None and not isinstance(items, list):
        raise dsl_errors.expression("`for.in` is not an array")
    return items


def _store_items(draft: Draft, node: Node, items: list[Json]) -> None:
    size = draft.limits.items
    if len(items) <= size:
        node.set_state(items=items)
        return
    for start in range(0, len(items), size):
        draft.chunks.append(ItemChunk(node.id, start, items[start : start + size]))


def _item(draft: Draft, node: Node, index: int) -> Json:
    items = node.get_state("items")
    if items is not None:
        return items[index]
    start = index - index % draft.limits.items
    if node.original is None:
        chunk = next(
            chunk for chunk in draft.chunks if chunk.step == node.id and chunk.index == start
        )
    else:
        chunk = draft.need("items", node.id, start)
    return chunk.items[index - chunk.index]


def on_agenda_item(draft: Draft, node: Node, data: Json) -> None:
    """Begin iteration ``at`` (its input is the output of step ``of``, or the loop's). With
    concurrency begin iteration ``from`` and the ones after it, or ``only`` one; with ``join`` all
    begun iterations have ended."""
    if "join" in data:
        return _on_iteration_ended(draft, node)
    if "at" in data:
        of = data.get("of")
        raw = node.input if of is None else draft.node(of).output
        return _iterate(draft, node, data["at"], raw, of)
    index = data.get("from", data.get("only"))
    if "from" in data and index + 1 < _initial_iterations(draft, node):
        draft.push(node.id, {"from": index + 1})
    return _begin_parallel(draft, node, index)


def _begin(draft: Draft, node: Node, index: int, raw: Json) -> bool | None:
    """Begin an iteration. False: it has nothing to run. None: `while` ends the loop."""
    loop = loop_of(draft.plan_of(node))
    scope = {loop.each: _item(draft, node, index), loop.at: index}
    if loop.while_ is not None and not is_true(draft, node, loop.while_, raw, scope):
        return None
    return begin_list(draft, node.id, node.reference + "/do", raw, scope, index)


def on_child_completed(draft: Draft, node: Node, child: Node, then: str | None) -> None:
    """Begin the iteration's next task, or the next iteration."""
    if proceed(draft, child, then):
        return None
    if loop_of(draft.plan_of(node)).concurrency is not None:
        return _on_iteration_ended(draft, node)
    if leaves_chain(then):
        node.open_children = 0
        return complete(draft, node, child.output, then)
    return _iterate(draft, node, (child.index or 0) + 1, child.output, child.id)


def _iterate(draft: Draft, node: Node, index: int, raw: Json, of: int | None) -> None:
    """Begin the first iteration from `index` on that has something to run."""
    count = node.get_state("count")
    for position in range(index, count):
        if position - index >= draft.limits.tasks:
            return draft.push(node.id, {"at": position, "of": of})
        begun = _begin(draft, node, position, raw)
        if begun:
            return None
        if begun is None:
            break
    node.open_children = 0
    return complete(draft, node, raw)


def _initial_iterations(draft: Draft, node: Node) -> int:
    """Return how many iterations begin at first. `next` grows as iterations end."""
    concurrency = loop_of(draft.plan_of(node)).concurrency or 1
    count: int = node.get_state("count")
    return min(concurrency, count)


# -- parallel iterations ------------


def _begin_parallel(draft: Draft, node: Node, index: int) -> None:
    begun = _begin(draft, node, index, node.input)
    if begun:
        return
    if begun is None:  # the loop ends before this iteration; running ones continue
        last = min(index, node.get_state("begun", index))
        node.set_state(begun=last, next=node.get_state("count"))
    _on_iteration_ended(draft, node)


def _on_iteration_ended(draft: Draft, node: Node) -> None:
    """Begin another iteration after one has ended, or join."""
    following = node.get_state("next")
    if following < node.get_state("count"):
        node.set_state(next=following + 1)
        return draft.push(node.id, {"only": following})
    node.open_children -= 1
    if node.open_children == 0:
        member_faults.raise_first(node)
        by_index = outputs(draft, node)
        count = node.get_state("begun", node.get_state("count"))
        complete(draft, node, in_order(draft, by_index, count, node))
    return None


def handles_error(draft: Draft, node: Node, _: Node, __: Mapping[str, Json]) -> bool:
    """Whether the other iterations finish although one has faulted."""
    return member_faults.others_finish(draft, node)


def on_error(
    draft: Draft, node: Node, child: Node, error: Mapping[str, Json], others_open: bool
) -> None:
    """Record the error and count one iteration less."""
    member_faults.record_fault(draft, node, child, error, others_open)
    _on_iteration_ended(draft, node)


register("for", TaskKind(enter, on_agenda_item, on_child_completed, handles_error, on_error))
