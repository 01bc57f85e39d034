"""Withdrawal: stop the open steps of a scope that is left, and wait for attempts that run.

A scope is left by a fault, a timeout, a cancel, `end`, or because another branch won.

Theory of operation. An attempt that no worker has claimed is withdrawn and never starts. A running
attempt cannot be stopped: its step stays open and *draining* (marked ``draining`` in its state)
until the attempt ends, is lost or reaches its limit. Its result does not advance the instance, but
a success is recorded and can be compensated (DESIGN, Stale and withdrawn). A retry, a `catch.do` or
a compensation that must wait for this is the *waiter*: each draining step names it, and the last
one to end continues it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from orchestrator.core import attempts
from orchestrator.core.control_flow import draining_below, in_compensation, remove_timers
from orchestrator.core.data_flow import transformed
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault, timeout, with_instance
from orchestrator.core.model import (
    ROOT,
    Attempt,
    AttemptEnd,
    AttemptState,
    Json,
    Status,
    StimulusKind,
    TimerKind,
)
from orchestrator.core.transition_draft import Draft

#: Seconds after its time limit until a draining attempt counts as lost.
DRAIN_GRACE = 5.0


@dataclass(slots=True)
class OpenSteps:
    """The open steps of the instance as the draft has them, with their open attempts."""

    nodes: list[Node]
    attempts: dict[int, Attempt]
    paths: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def is_below(self, draft: Draft, node: Node, top: int) -> bool:
        """Whether the step is inside step `top`."""
        return top == ROOT or top in self.ancestors(draft, node)

    def ancestors(self, draft: Draft, node: Node) -> tuple[int, ...]:
        """Return the numbers of the steps around this one, from the inside out. A draining step
        stores them: its ancestors may have ended and are not loaded then."""
        drain = node.get_state("draining")
        if drain is not None:
            return tuple(drain["path"])
        path = self.paths.get(node.id)
        if path is None:
            above = () if node.parent == ROOT else self.ancestors(draft, draft.node(node.parent))
            path = self.paths[node.id] = above if node.parent == ROOT else (node.parent, *above)
        return path


def open_steps(draft: Draft) -> OpenSteps:
    """Load every open step of the instance. Raises `DataNeeded`."""
    loaded = draft.need("open")
    # Add all open steps to the draft before anything else, because `ancestors` searches the draft
    # for the steps around a step.
    attempts = {step.id: attempt for step, attempt in loaded if attempt is not None}
    for step, _ in loaded:
        draft.adopt(step)
    for attempt in draft.attempts:
        attempts[attempt.step] = attempt
    over = {end.attempt for end in draft.ended}
    live = {step: attempt for step, attempt in attempts.items() if attempt.id not in over}
    nodes = [node for node in draft.nodes.values() if node.is_open]
    return OpenSteps(sorted(nodes, key=lambda node: node.id), live)


def withdraw(
    draft: Draft, below: int, *, waiter: int | None = None, stopped_run: int | None = None
) -> int:
    """Stop every open step below step `below` (or below `ROOT`). Return how many of them are
    draining.

    `waiter` continues when the last of these has ended. `stopped_run` is the run that ends by this:
    the steps store it, so that a retry finds them.
    """
    steps = open_steps(draft)
    draining = 0
    for node in reversed(steps.nodes):
        if not steps.is_below(draft, node, below) or not node.is_open:
            continue
        if node.get_state("draining") is not None:
            node.set_state(waiter=waiter)
            draining += 1
        elif _is_in_compensation_below(draft, node, below, steps):
            draining += _await_compensation(node, waiter)
        elif node.get_state("result") is not None:
            draining += _withdraw_recorded(
                draft, node, steps.ancestors(draft, node), waiter, stopped_run
            )
        elif cannot_be_stopped(node, steps):
            start_draining(
                draft, node, steps.ancestors(draft, node), waiter, steps.attempts.get(node.id)
            )
            if stopped_run is not None:
                node.set_state(stopped=stopped_run)
            draining += 1
        else:
            cancel_step(draft, node, stopped_run)
    return draining


def _withdraw_recorded(
    draft: Draft, node: Node, path: tuple[int, ...], waiter: int | None, stopped_run: int | None
) -> bool:
    """Apply a result that was recorded while the instance was suspended. It counts even if another
    command comes first: a success can be compensated, an exhausted step is a dead letter.

    Return True if the step has to drain until its item on the agenda: its `output.as` is an
    expression, and a command must not evaluate expressions.
    """
    if stopped_run is not None:
        node.set_state(stopped=stopped_run)
    output, state = draft.plan_of(node).output, node.get_state("result")["state"]
    if output is None or output.plain or state != AttemptState.SUCCEEDED:
        _apply_recorded_end(draft, node, waiter)
        return False
    remove_timers(draft, node)
    if node.status is not Status.RUNNING:
        draft.set_status(node, Status.RUNNING)
    node.set_state(draining={"path": list(path)}, waiter=waiter)
    draft.push(node.id, {"recorded": True})
    return True


def finish_recorded(draft: Draft, node: Node) -> None:
    """Apply the recorded result of a draining step, from the agenda."""
    _apply_recorded_end(draft, node, node.get_state("waiter"))


def _apply_recorded_end(draft: Draft, node: Node, waiter: int | None) -> None:
    end, is_exhausted = attempts.take_recorded_end(draft, node)
    finish_draining(
        draft, node, end.state, end.output, end.error, outcome_unknown=end.outcome_unknown
    )
    if is_exhausted and not will_retry_block(draft.node(waiter) if waiter else None):
        add_dead_letter(draft, node, node.error, "lost")


def will_retry_block(handler: Node | None) -> bool:
    """Whether the handler of a fault is a `try` that runs its block again."""
    if handler is None or handler.kind != "try":
        return False
    return "retry" in handler.get_state("next", {})


def add_dead_letter(draft: Draft, node: Node, error: Mapping[str, Json], reason: str) -> None:
    """Add a dead letter for a step; see `StepFaulted.dead_letter`. A new run that restarts the step
    closes the dead letter."""
    draft.dead_letters.append({"step": node.id, "reason": reason, "error": dict(error)})
    if node.get_state("stopped") is not None:
        node.set_state(has_dead_letter=True)


def _is_in_compensation_below(draft: Draft, node: Node, below: int, steps: OpenSteps) -> bool:
    """Whether the step is part of a compensation that as a whole is below `below`."""
    compensating = in_compensation(draft, node)
    return compensating is not None and steps.is_below(draft, compensating, below)


def _await_compensation(node: Node, waiter: int | None) -> int:
    """Wait for a compensating step: once begun it is never interrupted."""
    if node.compensates is None:
        return 0
    node.set_state(waiter=waiter)
    return 1


def cannot_be_stopped(node: Node, steps: OpenSteps) -> bool:
    """Whether a worker runs the step's attempt, or an instance its sub-workflow."""
    attempt = steps.attempts.get(node.id)
    if attempt is not None and attempt.state is AttemptState.CLAIMED:
        return True
    return awaits_child(node)


def awaits_child(node: Node) -> bool:
    """Whether the step waits, or waited, for a sub-workflow: of its own, or of its task's."""
    return node.kind in ("run", "call") and node.get_state("child") is not None


def start_draining(
    draft: Draft,
    node: Node,
    path: tuple[int, ...],
    waiter: int | None,
    attempt: Attempt | None,
    error: Json = None,
) -> None:
    """Leave a step open until its running attempt, or its sub-workflow, has ended."""
    remove_timers(draft, node)
    if node.status is not Status.RUNNING:
        draft.set_status(node, Status.RUNNING)
    node.error = error
    node.set_state(draining={"path": list(path)}, waiter=waiter)
    if node.get_state("child") is not None:
        abandon_child(draft, node, "the parent withdrew it")
    else:
        draft.withdrawn.append(node.id)
        if attempt is not None and attempt.time_limit is not None:
            draft.arm(node.id, TimerKind.TIMEOUT, attempt.time_limit + DRAIN_GRACE)


def abandon_child(draft: Draft, node: Node, reason: str) -> None:
    """Tell the step's sub-workflow, unless it has completed, that its parent no longer needs it."""
    child = node.get_state("child")
    if awaits_child(node) and node.status is not Status.COMPLETED:
        command = {
            "command": "abandon",
            "retry_run": node.get_state("retry_run", 0),
            "reason": reason,
        }
        draft.send_stimulus(StimulusKind.COMMAND, child, None, command)


def cancel_step(draft: Draft, node: Node, stopped_run: int | None) -> None:
    """Cancel an open step and remove its timers, its listener and its unclaimed attempt."""
    remove_timers(draft, node)
    if node.kind == "listen":
        draft.remove_listener(node.id)
    if node.original is None:
        draft.attempts = [attempt for attempt in draft.attempts if attempt.step != node.id]
    elif node.uses_attempts:
        draft.attempts = [attempt for attempt in draft.attempts if attempt.step != node.id]
        draft.withdrawn.append(node.id)
    draft.set_status(node, Status.CANCELLED)
    if stopped_run is not None:
        node.set_state(stopped=stopped_run)
    draft.add_fact("task.cancelled", node.id)


def on_late_end(draft: Draft, node: Node, end: AttemptEnd) -> None:
    """Record the end of a withdrawn attempt. The step gets the status that it really reached."""
    draft.ended.append(end)
    finish_draining(
        draft, node, end.state, end.output, end.error, outcome_unknown=end.outcome_unknown
    )


def finish_draining(
    draft: Draft,
    node: Node,
    state: AttemptState,
    output: Json,
    error: Json,
    *,
    outcome_unknown: bool = False,
) -> None:
    """End a draining step, with the result of its attempt or of its sub-workflow. Continue the
    waiter if this was the last step that it waited for."""
    draft.remove_timers(node.id)
    waiter = node.get_state("waiter")
    node.set_state(draining=None, waiter=None)
    if state is AttemptState.SUCCEEDED:
        record_late_success(draft, node, output)
    else:
        lost = state is AttemptState.LOST or outcome_unknown
        if node.error is None:
            node.error = with_instance(error or {}, node.reference)
        draft.set_status(node, Status.FAULTED)
        if lost:
            mark_outcome_unknown(draft, node)
        data = {"error": node.error, "late": True}
        draft.add_fact("task.faulted", node.id, {**data, "unknown": True} if lost else data)
    _prune_if_drained(draft, node)
    if waiter is not None:
        on_drained(draft, waiter)


def _prune_if_drained(draft: Draft, node: Node) -> None:
    """Prune the ancestor that could not be pruned before, if nothing in it drains any more."""
    top = node.get_state("prunes")
    if top is not None and not draining_below(draft, top):
        draft.pruned.append(top)


def record_late_success(draft: Draft, node: Node, output: Json) -> None:
    """Complete a step that succeeded after it was withdrawn. Nothing follows it."""
    plan = draft.plan_of(node)
    node.output = output
    with suppress(Fault):  # keep the output untransformed: a compensation still needs it
        node.output = transformed(draft, node, plan.output, None, output, "output")
    node.error = None
    draft.set_status(node, Status.COMPLETED)
    node.completion_number = draft.number()
    draft.add_fact("task.completed", node.id, {"late": True})


def mark_outcome_unknown(draft: Draft, node: Node) -> None:
    """Mark that the task may have run. Such a step is undone only if the document says so
    (`metadata.compensate.onUnknown`)."""
    node.outcome_unknown = True
    compensating = draft.plan_of(node).task.metadata.get("compensate") or {}
    if node.compensated_by is not None and compensating.get("onUnknown") is True:
        node.completion_number = draft.number()
    else:
        node.compensated_by = None


def on_drained(draft: Draft, waiter: int) -> None:
    """Count one awaited step less. After the last one the waiter continues."""
    if waiter == ROOT:
        draft.push(ROOT, {"drained": True})
        return
    node = draft.node(waiter)
    if node.is_open:
        node.open_children -= 1
        if node.open_children == 0:
            draft.push(waiter, {"drained": True})


def on_drain_timeout(draft: Draft, node: Node) -> None:
    """End a draining step whose attempt reached its limit: its outcome is unknown."""
    if node.get_state("result") is not None:  # its result was recorded, its agenda item is pending
        return finish_recorded(draft, node)
    error = timeout("the attempt was withdrawn and did not end within its time limit")
    live = draft.need("attempt", node.id)
    if live is not None and live.state in (AttemptState.READY, AttemptState.CLAIMED):
        draft.ended.append(
            AttemptEnd(live.id, AttemptState.LOST, error=error, outcome_unknown=True)
        )
    return finish_draining(draft, node, AttemptState.LOST, None, node.error or error)


def interrupt(draft: Draft, node: Node, error: Mapping[str, Json]) -> None:
    """Stop the work of a step without open children, because it faults. A running attempt drains,
    an unclaimed one is withdrawn."""
    steps = open_steps(draft)
    if cannot_be_stopped(node, steps):
        path = steps.ancestors(draft, node)
        start_draining(draft, node, path, None, steps.attempts.get(node.id), dict(error))
    elif node.uses_attempts:
        draft.withdrawn.append(node.id)


def is_draining(draft: Draft) -> bool:
    """Whether an open step may have to be waited for, as far as this transition has loaded: a
    draining step or a compensating step. Also true once a step was skipped while a worker ran it:
    its ancestors do not show that it is open."""
    if draft.root.get_state("replaced"):
        return True
    return any(
        node.is_open and (node.compensates is not None or node.get_state("draining"))
        for node in draft.nodes.values()
    )
