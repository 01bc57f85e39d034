"""Suspend and resume (DESIGN, Ends, undoing and keys).

A suspended instance starts nothing: unclaimed attempts are withdrawn, the results of running ones
are recorded, everything else waits in the inbox. Timeouts keep running; those that fell due
meanwhile apply at the resume.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import withdrawal
from orchestrator.core.commands.refusal import CommandRefused, reason, require_open
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Attempt, AttemptState, Json, Status
from orchestrator.core.transition_draft import Draft


def suspend(draft: Draft, data: Mapping[str, Json]) -> None:
    """Suspend the instance."""
    require_open(draft)
    if draft.root.status is Status.SUSPENDED:
        raise CommandRefused("the instance is suspended already")
    steps = withdrawal.open_steps(draft)
    for node in steps.nodes:
        attempt = steps.attempts.get(node.id)
        if attempt is not None and attempt.state is AttemptState.READY:
            _withdraw(draft, node, attempt)
        if attempt is None or attempt.state is not AttemptState.CLAIMED:
            _pause(draft, node)
    draft.set_instance_status(Status.SUSPENDED)
    draft.add_fact("workflow.suspended", None, reason(data) or None)


def _withdraw(draft: Draft, node: Node, attempt: Attempt) -> None:
    draft.withdrawn.append(node.id)
    node.set_state(
        attempt={
            "number": attempt.number + 1,
            "task": attempt.task,
            "queue": attempt.queue,
            "priority": attempt.priority,
            "starts": attempt.starts,
        }
    )


def _pause(draft: Draft, node: Node) -> None:
    """Suspend a step that only waits or has not been started. A step that contains others stays as
    it is."""
    if (
        node.open_children == 0
        and node.get_state("child") is None
        and node.get_state("draining") is None
    ):
        node.set_state(status_before=node.status.value)
        draft.set_status(node, Status.SUSPENDED)
        draft.add_fact("task.suspended", node.id)


def resume(draft: Draft, data: Mapping[str, Json]) -> None:
    """Continue a suspended instance."""
    if draft.root.status is not Status.SUSPENDED:
        raise CommandRefused(f"the instance is {draft.root.status}")
    was_started = draft.root.started_at is not None
    draft.set_instance_status(Status.RUNNING if was_started else Status.PENDING)
    draft.add_fact("workflow.resumed", None, reason(data) or None)
    resume_steps(draft)


def resume_steps(draft: Draft) -> None:
    """Continue the open steps: after a suspension all of them, after the cancel of a suspended
    instance the compensating steps, which nothing stops."""
    for node in withdrawal.open_steps(draft).nodes:
        if node.status is Status.SUSPENDED:
            _resume_step(draft, node)
        elif node.get_state("result") is not None:
            draft.push(node.id, {"result": True})


def _resume_step(draft: Draft, node: Node) -> None:
    draft.set_status(node, Status(node.get_state("status_before", Status.RUNNING)))
    node.set_state(status_before=None)
    draft.add_fact("task.resumed", node.id)
    if node.get_state("attempt") is not None and node.status is not Status.WAITING:
        draft.push(node.id, {"resume": True})
