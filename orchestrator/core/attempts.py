"""Create attempts, and react to their ends.

A failed attempt faults its step. If the Celery task asked for a retry of its own (`self.retry`),
another attempt follows after the pause that it asked for. After a lost attempt another one follows
at once, as far as `metadata.onLost` and `maxStarts` allow: the lost one may have had its effects,
so the task must be safe to run again (DESIGN, Lost attempts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from orchestrator.core.attempt_end_json import end_from_json
from orchestrator.core.control_flow import LEAVE_CHAIN, complete_outside
from orchestrator.core.data_flow import duration_seconds
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault, standard_error, with_instance
from orchestrator.core.model import ROOT, Attempt, AttemptEnd, AttemptState, Json, Status, TimerKind
from orchestrator.core.task_kinds import KINDS, StepFaulted
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft

#: Most attempts of a step whose messages are lost before a worker claims them. Then it faults.
MAX_ATTEMPTS = 100


def create_attempt(
    draft: Draft,
    node: Node,
    task: str,
    queue: str | None = None,
    priority: int | None = None,
    number: int = 1,
    starts: int = 1,
) -> None:
    """Create an attempt. Its time limit is the time left until the nearest timeout, or
    `metadata.timeLimit` if that is shorter. The first one arms the timer of `metadata.expires`."""
    plan = draft.plan_of(node)
    if plan.expires is not None and node.get_state("expires") is None:
        seconds = duration_seconds(draft, node, plan.expires, node.input)
        node.set_state(expires=draft.arm(node.id, TimerKind.EXPIRY, seconds).isoformat())
    draft.add_attempt(
        Attempt(
            draft.id(),
            node.id,
            number,
            task,
            starts,
            queue,
            priority,
            _limit(draft, node, plan),
        )
    )


def _limit(draft: Draft, node: Node, plan: Plan) -> float | None:
    """Return the seconds that the attempt may run."""
    left = _time_left(draft, node)
    if plan.time_limit is None:
        return left
    limit = max(0.001, duration_seconds(draft, node, plan.time_limit, node.input))
    return limit if left is None else min(left, limit)


def _time_left(draft: Draft, node: Node) -> float | None:
    """Return the seconds until the first timeout of the step or of a step around it."""
    due = draft.root.get_state("due")
    at = node
    while True:
        if at.state is not None:
            for name in ("due", "attempt_due"):
                own_due = at.state.get(name)
                due = own_due if due is None else due if own_due is None else min(due, own_due)
        if at.parent == ROOT:
            break
        at = draft.node(at.parent)
    if due is None:
        return None
    return max(0.001, (datetime.fromisoformat(due) - draft.at).total_seconds())


def idempotency_key(instance: str, step: int, key: str | None) -> str:
    """Return the idempotency key of a step's call. `key`: that of the call, if it has one."""
    return f"{instance}:{step if key is None else key}"


def on_attempt_ended(draft: Draft, node: Node, attempt: Attempt, end: AttemptEnd) -> None:
    """Handle the end of the newest attempt of an open step. Raises `StepFaulted`."""
    draft.ended.append(end)
    _apply_end(draft, node, attempt, end)


def _apply_end(draft: Draft, node: Node, attempt: Attempt, end: AttemptEnd) -> None:
    if end.replacement is not None:
        return _on_replaced(draft, node, end.replacement)
    if end.state is AttemptState.SUCCEEDED:
        return complete_outside(draft, node, end.output, LEAVE_CHAIN if end.leaves_chain else None)
    if end.state is AttemptState.LOST:
        return _on_lost(draft, node, attempt, end)
    if end.retry_in is not None:
        retries = node.get_state("retries", 0) + 1
        if end.arguments is not None:
            node.call = {**(node.call or {}), **end.arguments}
        return retry_after_pause(draft, node, attempt, end.error, end.retry_in, retries=retries)
    raise StepFaulted(
        node, with_instance(end.error or {}, node.reference), outcome_unknown=end.outcome_unknown
    )


def _on_replaced(draft: Draft, node: Node, replacement: Mapping[str, Json]) -> None:
    try:
        KINDS[node.kind].on_replaced(draft, node, replacement)
    except Fault as fault:
        raise StepFaulted(node, fault.error) from None


def _on_lost(draft: Draft, node: Node, attempt: Attempt, end: AttemptEnd) -> None:
    """Create another attempt, or fault the step with its outcome unknown. An attempt that was never
    claimed did nothing, so another one follows whatever the policy."""
    claimed = attempt.state is AttemptState.CLAIMED
    if not _is_exhausted(draft, node, attempt) if claimed else attempt.number < MAX_ATTEMPTS:
        draft.add_fact("task.lost", node.id, {"attempt": attempt.number, "error": end.error})
        return create_attempt(
            draft,
            node,
            attempt.task,
            attempt.queue,
            attempt.priority,
            attempt.number + 1,
            attempt.starts + claimed,
        )
    raise StepFaulted(
        node, _exhausted_error(node, attempt, end), outcome_unknown=claimed, dead_letter="lost"
    )


def _is_exhausted(draft: Draft, node: Node, attempt: Attempt) -> bool:
    """Whether a step is not started again after the loss of a claimed attempt."""
    policy = draft.plan_of(node).on_lost
    return not policy.retry or attempt.starts >= policy.max_starts


def _exhausted_error(node: Node, attempt: Attempt, end: AttemptEnd) -> dict[str, Json]:
    """Return the error of a step whose attempts are exhausted."""
    detail = (end.error or {}).get("detail") or "the worker was lost"
    if attempt.state is AttemptState.CLAIMED:
        detail += f" (started {attempt.starts} times; the outcome is unknown)"
    return with_instance(standard_error("runtime", detail), node.reference)


def retry_after_pause(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    error: Json,
    seconds: float,
    **state: Json,
) -> None:
    """Create another attempt of the same step, with the same idempotency key, after a pause.
    `state` is added to the step's state."""
    node.set_state(
        attempt={
            "number": attempt.number + 1,
            "task": attempt.task,
            "queue": attempt.queue,
            "priority": attempt.priority,
        },
        **state,
    )
    draft.add_fact("task.retried", node.id, {"in": seconds, "error": error})
    if seconds <= 0:
        return retry_now(draft, node)
    draft.arm(node.id, TimerKind.RETRY, seconds)
    return draft.set_status(node, Status.WAITING)


def retry_now(draft: Draft, node: Node) -> None:
    """Create the attempt that was postponed."""
    last = node.get_state("attempt")
    if last is None:
        return
    node.set_state(attempt=None)
    if node.status is not Status.RUNNING:
        draft.set_status(node, Status.RUNNING)
    create_attempt(
        draft,
        node,
        last["task"],
        last["queue"],
        last["priority"],
        last["number"],
        last.get("starts", 1),
    )


def resume(draft: Draft, node: Node, data: Json) -> None:
    """Continue a step after a suspension: with the result that was recorded meanwhile, or with
    another attempt in place of a withdrawn one. Raises `StepFaulted`."""
    if "resume" in data:
        return retry_now(draft, node)
    if node.get_state("result") is None:  # it was applied meanwhile
        return None
    return _apply_end(draft, node, *_take_recorded_end(draft, node))


def _take_recorded_end(draft: Draft, node: Node) -> tuple[Attempt, AttemptEnd]:
    """Remove and return the end of an attempt that was recorded during a suspension."""
    end = end_from_json(node.get_state("result"))
    node.set_state(result=None)
    return replace(draft.need("attempt", node.id), state=AttemptState.CLAIMED), end


def take_recorded_end(draft: Draft, node: Node) -> tuple[AttemptEnd, bool]:
    """Remove and return the recorded end of a step that cannot continue from it, and whether the
    step's attempts are exhausted."""
    attempt, end = _take_recorded_end(draft, node)
    if end.state is not AttemptState.LOST or not _is_exhausted(draft, node, attempt):
        return end, False
    return replace(end, error=_exhausted_error(node, attempt, end)), True
