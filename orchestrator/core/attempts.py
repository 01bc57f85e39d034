"""Handing a step off to a worker, and what follows from how that ended.

An attempt that fails faults its step. One whose Celery task asked for a retry of its own is
followed by another after the pause that it asked for. One that was lost is followed by
another at once, as long as `metadata.onLost` and `maxStarts` allow it: nobody knows whether
its effects happened, so the task must bear being started again (DESIGN, Lost attempts).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orchestrator.core.attempt_end import end_from_json
from orchestrator.core.control_flow import complete_outside
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import standard_error, with_instance
from orchestrator.core.model import ROOT, Attempt, AttemptEnd, AttemptState, Json, Status, TimerKind
from orchestrator.core.task_kinds import StepFaulted
from orchestrator.core.transition_draft import Draft

#: A step whose messages are lost again and again, unclaimed, is given up at last.
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
    """Make an attempt ready. Its time limit is what is left of the nearest timeout."""
    draft.add_attempt(
        Attempt(
            draft.id(),
            node.id,
            number,
            task,
            starts,
            queue,
            priority,
            _limit(draft, node),
        )
    )


def _limit(draft: Draft, node: Node) -> float | None:
    """Seconds until the first of the timeouts around the step falls due."""
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


def on_attempt_ended(draft: Draft, node: Node, attempt: Attempt, end: AttemptEnd) -> None:
    """The newest attempt of an open step has ended. Raises `StepFaulted`."""
    draft.ended.append(end)
    _apply_end(draft, node, attempt, end)


def _apply_end(draft: Draft, node: Node, attempt: Attempt, end: AttemptEnd) -> None:
    if end.state is AttemptState.SUCCEEDED:
        return complete_outside(draft, node, end.output)
    if end.state is AttemptState.LOST:
        return _on_lost(draft, node, attempt, end)
    if end.retry_in is not None:
        retries = node.get_state("retries", 0) + 1
        if end.arguments is not None:
            node.call = {**(node.call or {}), **end.arguments}
        return retry_after_pause(draft, node, attempt, end.error, end.retry_in, retries=retries)
    raise StepFaulted(node, with_instance(end.error or {}, node.ref), unknown=end.unknown)


def _on_lost(draft: Draft, node: Node, attempt: Attempt, end: AttemptEnd) -> None:
    """Start the step again, or give it up with its outcome unknown. An attempt that nobody
    had claimed has done nothing: it is handed off again, whatever the policy."""
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
        node, _exhausted_error(node, attempt, end), unknown=claimed, is_exhausted=True
    )


def _is_exhausted(draft: Draft, node: Node, attempt: Attempt) -> bool:
    """Whether a step is not started again after the loss of an attempt that a worker had."""
    policy = draft.plan_of(node).on_lost
    return not policy.retry or attempt.starts >= policy.max_starts


def _exhausted_error(node: Node, attempt: Attempt, end: AttemptEnd) -> dict[str, Json]:
    """The error of a step whose attempts were lost as often as they may be."""
    detail = (end.error or {}).get("detail") or "the worker was lost"
    if attempt.state is AttemptState.CLAIMED:
        detail += f" (started {attempt.starts} times; the outcome is unknown)"
    return with_instance(standard_error("runtime", detail), node.ref)


def retry_after_pause(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    error: Json,
    seconds: float,
    **state: Json,
) -> None:
    """Another attempt of the same step (and so with the same key) after a pause."""
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
    """The pause is over."""
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
    """The instance goes on: with what was recorded while it was suspended, or with another
    attempt in place of one that was withdrawn. Raises `StepFaulted`."""
    if "again" in data:
        return retry_now(draft, node)
    if node.get_state("result") is None:  # it has taken effect since
        return None
    return _apply_end(draft, node, *_recorded(draft, node))


def _recorded(draft: Draft, node: Node) -> tuple[Attempt, AttemptEnd]:
    """How an attempt ended that a worker had while the instance was suspended: to be taken once."""
    end = end_from_json(node.get_state("result"))
    node.set_state(result=None)
    return replace(draft.need("attempt", node.id), state=AttemptState.CLAIMED), end


def take_recorded_end(draft: Draft, node: Node) -> tuple[AttemptEnd, bool]:
    """What was recorded of a step that cannot go on from it any more, and whether the step was
    given up by it."""
    attempt, end = _recorded(draft, node)
    if end.state is not AttemptState.LOST or not _is_exhausted(draft, node, attempt):
        return end, False
    return replace(end, error=_exhausted_error(node, attempt, end)), True
