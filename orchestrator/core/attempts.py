"""Handing a step off to a worker, and what follows from how that ended.

An attempt that fails faults its step. One whose Celery task asked for a retry of its own is
followed by another after the pause that it asked for. One that was lost is followed by
another at once, as long as `metadata.onLost` and `maxStarts` allow it: nobody knows whether
its effects happened, so the task must bear being started again (DESIGN, Lost attempts).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orchestrator.core.faults import placed, standard
from orchestrator.core.flow import complete_outside
from orchestrator.core.kinds import Faulted
from orchestrator.core.nodes import Node
from orchestrator.core.values import ROOT, Attempt, AttemptState, Ended, Json, Status, TimerKind
from orchestrator.core.work import Draft

#: A step whose messages are lost again and again, unclaimed, is given up at last.
MOST_ATTEMPTS = 100


def hand_off(
    draft: Draft,
    node: Node,
    task: str,
    queue: str | None = None,
    priority: int | None = None,
    number: int = 1,
    starts: int = 1,
) -> None:
    """Make an attempt ready. Its time limit is what is left of the nearest timeout."""
    draft.dispatch(
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
    due = draft.root.recall("due")
    at = node
    while True:
        if at.state is not None:
            for name in ("due", "attempt_due"):
                mine = at.state.get(name)
                due = mine if due is None else due if mine is None else min(due, mine)
        if at.parent == ROOT:
            break
        at = draft.node(at.parent)
    if due is None:
        return None
    return max(0.001, (datetime.fromisoformat(due) - draft.at).total_seconds())


def ended(draft: Draft, node: Node, attempt: Attempt, end: Ended) -> None:
    """The newest attempt of an open step has ended. Raises `Faulted`."""
    draft.ended.append(end)
    _follow(draft, node, attempt, end)


def _follow(draft: Draft, node: Node, attempt: Attempt, end: Ended) -> None:
    if end.state is AttemptState.SUCCEEDED:
        return complete_outside(draft, node, end.output)
    if end.state is AttemptState.LOST:
        return _lost(draft, node, attempt, end)
    if end.retry_in is not None:
        retries = node.recall("retries", 0) + 1
        if end.arguments is not None:
            node.call = {**(node.call or {}), **end.arguments}
        return again_later(draft, node, attempt, end.error, end.retry_in, retries=retries)
    raise Faulted(node, placed(end.error or {}, node.ref), unknown=end.unknown)


def _lost(draft: Draft, node: Node, attempt: Attempt, end: Ended) -> None:
    """Start the step again, or give it up with its outcome unknown. An attempt that nobody
    had claimed has done nothing: it is handed off again, whatever the policy."""
    claimed = attempt.state is AttemptState.CLAIMED
    if not _gives_up(draft, node, attempt) if claimed else attempt.number < MOST_ATTEMPTS:
        draft.fact("task.lost", node.id, {"attempt": attempt.number, "error": end.error})
        return hand_off(
            draft,
            node,
            attempt.task,
            attempt.queue,
            attempt.priority,
            attempt.number + 1,
            attempt.starts + claimed,
        )
    raise Faulted(node, _given_up(node, attempt, end), unknown=claimed, given_up=True)


def _gives_up(draft: Draft, node: Node, attempt: Attempt) -> bool:
    """Whether a step is not started again after the loss of an attempt that a worker had."""
    policy = draft.plan_of(node).on_lost
    return not policy.retry or attempt.starts >= policy.max_starts


def _given_up(node: Node, attempt: Attempt, end: Ended) -> dict[str, Json]:
    """The error of a step whose attempts were lost as often as they may be."""
    detail = (end.error or {}).get("detail") or "the worker was lost"
    if attempt.state is AttemptState.CLAIMED:
        detail += f" (started {attempt.starts} times; the outcome is unknown)"
    return placed(standard("runtime", detail), node.ref)


def again_later(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    error: Json,
    seconds: float,
    **remembered: Json,
) -> None:
    """Another attempt of the same step (and so with the same key) after a pause."""
    node.remember(
        attempt={
            "number": attempt.number + 1,
            "task": attempt.task,
            "queue": attempt.queue,
            "priority": attempt.priority,
        },
        **remembered,
    )
    draft.fact("task.retried", node.id, {"in": seconds, "error": error})
    if seconds <= 0:
        return hand_off_again(draft, node)
    draft.arm(node.id, TimerKind.RETRY, seconds)
    return draft.set_status(node, Status.WAITING)


def hand_off_again(draft: Draft, node: Node) -> None:
    """The pause is over."""
    last = node.recall("attempt")
    if last is None:
        return
    node.remember(attempt=None)
    if node.status is not Status.RUNNING:
        draft.set_status(node, Status.RUNNING)
    hand_off(
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
    attempt in place of one that was withdrawn. Raises `Faulted`."""
    if "again" in data:
        return hand_off_again(draft, node)
    if node.recall("result") is None:  # it has taken effect since
        return None
    return _follow(draft, node, *_recorded(draft, node))


def _recorded(draft: Draft, node: Node) -> tuple[Attempt, Ended]:
    """How an attempt ended that a worker had while the instance was suspended: to be taken once."""
    end = from_json(node.recall("result"))
    node.remember(result=None)
    return replace(draft.need("attempt", node.id), state=AttemptState.CLAIMED), end


def recorded(draft: Draft, node: Node) -> tuple[Ended, bool]:
    """What was recorded of a step that cannot go on from it any more, and whether the step was
    given up by it."""
    attempt, end = _recorded(draft, node)
    if end.state is not AttemptState.LOST or not _gives_up(draft, node, attempt):
        return end, False
    return replace(end, error=_given_up(node, attempt, end)), True


def as_json(end: Ended) -> dict[str, Json]:
    """How an attempt ended, to be kept in a step's state."""
    return {
        "attempt": end.attempt,
        "state": end.state.value,
        "output": end.output,
        "error": end.error,
        "unknown": end.unknown,
        "retry_in": end.retry_in,
        "arguments": end.arguments,
    }


def from_json(kept: dict[str, Json]) -> Ended:
    """The opposite of `as_json`."""
    return Ended(
        kept["attempt"],
        AttemptState(kept["state"]),
        kept["output"],
        kept["error"],
        retry_in=kept["retry_in"],
        unknown=kept["unknown"],
        arguments=kept.get("arguments"),
    )
