"""How steps begin, end and follow each other (dsl.md, Task Flow; dsl-reference.md, Flow Directive).

A completed step is put on the agenda; its item asks the step around it for the next task. So a long
chain of tasks nests no calls, and the agenda can be stored at any point as stimuli: "step 17 has
completed, continue after it".
"""

from __future__ import annotations

from orchestrator.core import dsl_errors
from orchestrator.core.data_flow import duration_seconds, is_true, transform_input, transform_output
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import ROOT, Json, Status, TimerKind
from orchestrator.core.task_extensions import applying_extensions
from orchestrator.core.task_kinds import KINDS, StepFaulted
from orchestrator.core.task_plan import Plan, any_reachable, compensation_of, plan_of
from orchestrator.core.transition_draft import Draft
from orchestrator.document.model import Task

END, EXIT, CONTINUE = "end", "exit", "continue"

#: Directive of a task that ended the rest of its chain, as a Celery task may (`raise Ignore`). No
#: document contains it. It ends all lists around the task, up to a parallel branch or iteration.
LEAVE_CHAIN = "leave chain"


def enter(
    draft: Draft,
    parent: int,
    task: Task,
    raw: Json,
    scope: Json = None,
    index: int | None = None,
    compensates: int | None = None,
) -> bool:
    """Begin a task with its raw input. Return False if its `if` is false: the task is skipped, its
    output is its raw input and its `then` is ignored (dsl-reference.md, Task).

    Raises `StepFaulted`.
    """
    plan = plan_of(task)
    node = _new(parent, task, plan, raw, scope, index)
    node.compensates = compensates
    try:
        if plan.condition is not None and not is_true(draft, node, plan.condition, raw):
            draft.add_fact("task.skipped", parent or None, {"task": task.reference})
            return False
        if plan.extensions is not None and (
            extensions := applying_extensions(draft, node, plan, raw)
        ):
            node.kind = "extension"
            node.set_state(extensions=extensions)
            draft.add(node)
        else:
            start_step(draft, node, plan, raw)
        KINDS[node.kind].enter(draft, node, plan)
    except Fault as fault:
        raise _faulted(draft, node, fault) from None
    return True


def enter_bare(
    draft: Draft,
    parent: int,
    task: Task,
    raw: Json,
    scope: Json = None,
    index: int | None = None,
) -> None:
    """Begin a task without its `if` and its extensions. Raises `StepFaulted`."""
    plan = plan_of(task)
    node = _new(parent, task, plan, raw, scope, index)
    try:
        start_step(draft, node, plan, raw)
        KINDS[node.kind].enter(draft, node, plan)
    except Fault as fault:
        raise _faulted(draft, node, fault) from None


def _new(parent: int, task: Task, plan: Plan, raw: Json, scope: Json, index: int | None) -> Node:
    node = Node.new(parent, task.reference, task.kind, index, scope)
    node.plan = plan
    node.input = raw
    return node


def _faulted(draft: Draft, node: Node, fault: Fault) -> StepFaulted:
    if node.id < 0:
        draft.add(node)
    return StepFaulted(node, fault.error)


def start_step(draft: Draft, node: Node, plan: Plan, raw: Json) -> None:
    """Add a new step, transform its input and arm its timeout. Raises `Fault`; also when the
    instance has used all its numbers."""
    if draft.root.last_number >= draft.limits.last_number:
        raise dsl_errors.runtime(
            f"the instance has reached its bound of {draft.limits.last_number} steps"
        )
    draft.add(node)
    transform_input(draft, node, plan, raw)
    if plan.compensated_by is not None and not in_compensation(draft, node):
        node.compensated_by = plan.compensated_by
    if plan.timeout is not None:
        after = duration_seconds(draft, node, plan.timeout, node.input)
        node.set_state(due=draft.arm(node.id, TimerKind.TIMEOUT, after).isoformat())


def in_compensation(draft: Draft, node: Node) -> Node | None:
    """Return the compensating step that this step is, or is part of; None if there is none."""
    at = node
    while at.compensates is None:
        if at.parent == ROOT:
            return None
        at = draft.node(at.parent)
    return at


def begin_list(
    draft: Draft,
    parent: int,
    pointer: str,
    raw: Json,
    scope: Json = None,
    index: int | None = None,
) -> bool:
    """Begin the list of tasks at a JSON pointer. Return False if the list is empty or all of its
    tasks were skipped."""
    tasks = draft.workflow.tasks(pointer)
    return _enter_from(draft, parent, tasks[0] if len(tasks) else None, raw, scope, index)


def _enter_from(
    draft: Draft, parent: int, task: Task | None, raw: Json, scope: Json, index: int | None
) -> bool:
    while task is not None:
        if enter(draft, parent, task, raw, scope, index):
            return True
        task = _after(task)
    return False


def _after(task: Task) -> Task | None:
    siblings = task.siblings
    index = task.index
    return siblings[index + 1] if index is not None and index + 1 < len(siblings) else None


def proceed(draft: Draft, child: Node, then: str | None, *, counts_turns: bool = False) -> bool:
    """Begin the task that follows a completed child. Return False at the end of the list, whose
    output is then the child's. `counts_turns`: the `index` of the children is the loop turn."""
    task = draft.plan_of(child).task
    following = following_task(task, then)
    index = child.index
    if following is not None and task.index is not None and (following.index or 0) <= task.index:
        count_loop_turn(draft)
        if counts_turns:
            index = (index or 0) + 1
    if counts_turns and (child.index or 0) >= draft.limits.kept_turns:
        prune(draft, child)
    return _enter_from(draft, child.parent, following, child.output, child.scope, index)


def following_task(task: Task, then: str | None) -> Task | None:
    """Return the task of the same list that a directive leads to; None: the list ends. Raises
    `Fault` if there is no such task."""
    if then is None or then == CONTINUE:
        return _after(task)
    if then in (EXIT, END, LEAVE_CHAIN):
        return None
    target = task.siblings.names.get(then)
    if target is None:
        raise dsl_errors.configuration(
            f"{task.reference} continues with {then!r}, which is not in its list"
        )
    return target


def leaves_chain(then: str | None) -> str | None:
    """Return the directive of a list whose last task had the directive `then`."""
    return then if then == LEAVE_CHAIN else None


def count_loop_turn(draft: Draft) -> None:
    """Count a loop turn that waits for nothing. Raises `Fault` at the bound: it may never end."""
    draft.loop_turns += 1
    if draft.loop_turns > draft.limits.turns:
        raise dsl_errors.runtime(
            f"the workflow has looped {draft.limits.turns} times without waiting for anything"
        )


def prune(draft: Draft, node: Node) -> None:
    """Delete a finished step, unless a step in it may have to be undone. If a step in it is
    draining (it lost a race, or its `try` timed out), the last one to end deletes it."""
    task = draft.plan_of(node).task
    if any_reachable([task], lambda inner: compensation_of(inner) is not None):
        return
    draining = draining_below(draft, node.id) if _has_calls_inside(node, task) else []
    for other in draining:
        other.set_state(prunes=node.id)
    if not draining:
        draft.pruned.append(node.id)


def _has_calls_inside(node: Node, task: Task) -> bool:
    return node.kind == "extension" or any_reachable(
        [task], lambda inner: inner.reference != task.reference and inner.kind in ("call", "run")
    )


def draining_below(draft: Draft, top: int) -> list[Node]:
    """Return the draining steps inside a step. Raises `DataNeeded`, unless no step is open."""
    if draft.count_open_leaves()[0] == 0:
        return []
    for step, _ in draft.need("open"):
        draft.adopt(step)
    drains = [(node, node.get_state("draining")) for node in draft.nodes.values() if node.is_open]
    return [node for node, drain in drains if drain is not None and top in drain["path"]]


def complete(draft: Draft, node: Node, raw: Json, then: str | None = None) -> None:
    """Complete a step; `then` replaces its task's own directive.

    Raises `StepFaulted` if the output cannot be transformed or is invalid.
    """
    plan = draft.plan_of(node)
    try:
        transform_output(draft, node, plan, raw)
    except Fault as fault:
        raise StepFaulted(node, fault.error) from None
    mark_completed(draft, node)
    push_completion(draft, node, plan.then if then is None else then)


def complete_outside(draft: Draft, node: Node, raw: Json, then: str | None = None) -> None:
    """Complete a step whose work was done outside the instance; `then` as in `complete`.

    The work stays done even if its output is invalid. Then the outcome is unknown, so that
    `metadata.compensate.onUnknown` undoes it; a sub-workflow undoes itself, and a compensating step
    is retried. Raises `StepFaulted` as `complete` does.
    """
    try:
        complete(draft, node, raw, then)
    except StepFaulted as faulted:
        if node.compensated_by == "child":
            node.outcome_unknown, node.completion_number = True, draft.number()
        else:
            faulted.outcome_unknown = in_compensation(draft, node) is None
        raise


def push_completion(draft: Draft, node: Node, then: str | None) -> None:
    """Put a completed step on the agenda; its item begins what follows."""
    draft.push(node.id, {"then": then})


def mark_completed(draft: Draft, node: Node) -> None:
    """Complete a step and give it its number in the order of completions."""
    remove_timers(draft, node)
    draft.set_status(node, Status.COMPLETED)
    node.completion_number = draft.number()
    draft.add_fact("task.completed", node.id)


def remove_timers(draft: Draft, node: Node) -> None:
    """Remove a step's timers if it may have any."""
    waits = node.status in (Status.WAITING, Status.SUSPENDED)
    plan = draft.plan_of(node)
    if node.kind == "try" or waits or plan.timeout or plan.expires:
        draft.remove_timers(node.id)
