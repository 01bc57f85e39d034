"""``try``: a block of tasks, retried or handled if one of them faults (dsl-reference.md, Try).

Each try runs the whole block again with the step's input. `catch.do` runs once, after the last
retry. Without it the error propagates after the last retry, and a `try` without retries completes
with its input. `metadata.rollback` undoes what the block completed before each retry and before
`catch.do`. None of this begins before the withdrawn attempts of the block have ended. With
`metadata.rethrow` the caught error propagates after `catch.do`, unchanged.

`state`: `retries` so far; `since`, when the first try began; `error` and `next`, the caught error
and the reaction to it (``{"retry": seconds}`` or ``{"catch": true}``); `undo_after`, the number
after which the present try's completions come; `attempt_due`, when the present try times out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.core import compensation, withdrawal
from orchestrator.core.control_flow import (
    begin_list,
    complete,
    count_loop_turn,
    leaves_chain,
    proceed,
    prune,
)
from orchestrator.core.data_flow import as_program, duration_seconds, is_true
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import matches, timeout, with_instance
from orchestrator.core.model import Json, Status, Timer, TimerKind
from orchestrator.core.retry_policy import Tries, pause_before_retry, policy_of
from orchestrator.core.task_kinds import StepFaulted, TaskKind, register
from orchestrator.core.task_plan import Plan, any_reachable, is_parallel
from orchestrator.core.transition_draft import Draft


class Catch:
    """The catch clause of a `try`, read once."""

    __slots__ = (
        "except_when",
        "filter",
        "handles",
        "name",
        "parallel",
        "policy",
        "rethrows",
        "rollback",
        "then",
        "when",
    )

    def __init__(self, plan: Plan) -> None:
        task = plan.task
        body = task.body.get("catch") or {}
        self.filter: Mapping[str, Any] = (body.get("errors") or {}).get("with") or {}
        self.name: str = body.get("as", "error")
        self.when = as_program(body.get("when"), "catch.when")
        self.except_when = as_program(body.get("exceptWhen"), "catch.exceptWhen")
        self.policy = policy_of(body.get("retry"), task.workflow.use)
        self.then: str | None = body.get("then")
        self.handles = bool(body.get("do")) or self.then is not None
        self.rollback = task.metadata.get("rollback") is True
        self.rethrows = task.metadata.get("rethrow") is True
        self.parallel = any_reachable(task.workflow.tasks(task.reference + "/try"), is_parallel)


def catch_of(plan: Plan) -> Catch:
    """Return the catch clause of a `try`."""
    catch: Catch | None = plan.kind_plan
    if catch is None:
        catch = plan.kind_plan = Catch(plan)
    return catch


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Begin the first try."""
    if catch_of(plan).policy is not None:
        node.set_state(since=draft.at.isoformat())
    _begin_try(draft, node)


def _begin_try(draft: Draft, node: Node) -> None:
    catch = catch_of(draft.plan_of(node))
    node.open_children = 1
    if catch.rollback:
        node.set_state(undo_after=draft.root.last_number)
    if catch.policy is not None and catch.policy.per_try is not None:
        max_seconds = duration_seconds(draft, node, catch.policy.per_try, node.input)
        due = draft.arm(node.id, TimerKind.ATTEMPT, max_seconds)
        node.set_state(attempt_due=due.isoformat())
    draft.push(node.id)


def on_agenda_item(draft: Draft, node: Node, data: Json) -> None:
    """Begin a try, run the handler, or continue after the block has drained or was undone."""
    if data is None:
        index = node.get_state("retries") or None
        if not begin_list(draft, node.id, node.reference + "/try", node.input, None, index):
            _end(draft, node, node.input, None)
    elif "catch" in data:
        _begin_handler(draft, node)
    elif "drained" in data:
        _react(draft, node)
    elif "undo" in data:
        compensation.undo_next(draft, node)
    else:
        _retry_or_handle(draft, node)


def on_child_completed(draft: Draft, node: Node, child: Node, then: str | None) -> None:
    """Begin the next task; after the last one, its output is the list's."""
    if proceed(draft, child, then):
        return _prune_later_try(draft, child)
    if child.reference.startswith(node.reference + "/catch/"):
        return _on_handled(draft, node, child.output, child.scope or {})
    return _end(draft, node, child.output, leaves_chain(then))


def _prune_later_try(draft: Draft, child: Node) -> None:
    """Delete a step of a later try: only those of the first tries are stored."""
    if (child.index or 0) >= draft.limits.kept_turns:
        prune(draft, child)


def _on_handled(draft: Draft, node: Node, output: Json, scope: Mapping[str, Json]) -> None:
    """Complete the step after `catch.do`, or fault it with the error that was caught. `scope`: that
    of the handler, which has the error also where a retry has restarted a step of it."""
    catch = catch_of(draft.plan_of(node))
    if catch.rethrows:
        node.open_children = 0
        raise StepFaulted(node, scope[catch.name])
    _end(draft, node, output, catch.then)


def _end(draft: Draft, node: Node, output: Json, then: str | None) -> None:
    node.open_children = 0
    complete(draft, node, output, then)


# -- the `catch` clause ----------


def handles_error(draft: Draft, node: Node, child: Node, error: Mapping[str, Json]) -> bool:
    """Whether the error is caught; then `next` in the state is the reaction."""
    if child.reference.startswith(node.reference + "/catch/") or child.compensates is not None:
        return False
    return _choose_reaction(draft, node, error)


def _choose_reaction(draft: Draft, node: Node, error: Mapping[str, Json]) -> bool:
    catch = catch_of(draft.plan_of(node))
    extra = {catch.name: error}
    if not matches(catch.filter, error):
        return False
    if catch.when is not None and not is_true(draft, node, catch.when, error, extra):
        return False
    if catch.except_when is not None and is_true(draft, node, catch.except_when, error, extra):
        return False
    if catch.policy is None:
        node.set_state(next={"catch": True})
        return True
    since = datetime.fromisoformat(node.get_state("since"))
    tries = Tries(node.get_state("retries", 0), since)
    wait = pause_before_retry(draft, node, catch.policy, tries, error, catch.name)
    node.set_state(next={"catch": True} if wait is None else {"retry": wait})
    return wait is not None or catch.handles


def on_error(
    draft: Draft, node: Node, child: Node, error: Mapping[str, Json], others_open: bool
) -> None:
    """Stop the rest of the block, then react once all of it has ended."""
    catch = catch_of(draft.plan_of(node))
    node.set_state(error=dict(error))
    _remove_try_timer(draft, node)
    node.open_children = 0
    if others_open or catch.parallel or withdrawal.is_draining(draft):
        node.open_children = withdrawal.withdraw(draft, node.id, waiter=node.id)
    if node.open_children == 0:
        if child is not node:
            _prune_later_try(draft, child)
        _react(draft, node)


def _remove_try_timer(draft: Draft, node: Node) -> None:
    """Remove the present try's timer; the task's own timeout stays."""
    if node.get_state("attempt_due") is None:
        return
    node.set_state(attempt_due=None)
    draft.remove_timers(node.id)
    due = node.get_state("due")
    if due is not None:
        draft.timers.append(Timer(node.id, TimerKind.TIMEOUT, datetime.fromisoformat(due)))


def _react(draft: Draft, node: Node) -> None:
    after = node.get_state("undo_after")
    if after is None:
        return _retry_or_handle(draft, node)
    return compensation.roll_back(draft, node, node.get_state("error"), after)


def _retry_or_handle(draft: Draft, node: Node) -> None:
    """Begin another try after a caught error, or the handler."""
    node.open_children = 0
    step = node.get_state("next")
    if "retry" not in step:
        node.open_children = 1
        return draft.push(node.id, {"catch": True})
    wait, retries = step["retry"], node.get_state("retries", 0) + 1
    node.set_state(retries=retries)
    error = node.get_state("error")
    draft.add_fact("task.retried", node.id, {"in": wait, "retry": retries, "error": error})
    if wait > 0:
        draft.arm(node.id, TimerKind.RETRY, wait)
        return draft.set_status(node, Status.WAITING)
    count_loop_turn(draft)
    return on_retry_due(draft, node)


def on_retry_due(draft: Draft, node: Node) -> None:
    """Run the block again after the pause."""
    if node.status is not Status.RUNNING:
        draft.set_status(node, Status.RUNNING)
    node.set_state(next=None)
    _begin_try(draft, node)


def _begin_handler(draft: Draft, node: Node) -> None:
    catch = catch_of(draft.plan_of(node))
    scope = {catch.name: node.get_state("error")}
    if not begin_list(draft, node.id, node.reference + "/catch/do", node.input, scope):
        _on_handled(draft, node, node.input, scope)


def on_try_timeout(draft: Draft, node: Node) -> None:
    """Handle a try that has taken longer than ``limit.attempt.duration``."""
    error = with_instance(
        timeout(f"a try of {node.reference} has taken longer than its limit"), node.reference
    )
    if not _choose_reaction(draft, node, error):
        raise StepFaulted(node, error, running=True)
    on_error(draft, node, node, error, True)


register(
    "try",
    TaskKind(
        enter,
        on_agenda_item,
        on_child_completed,
        handles_error,
        on_error,
        {TimerKind.RETRY: on_retry_due, TimerKind.ATTEMPT: on_try_timeout},
    ),
)
