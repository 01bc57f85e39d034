"""Withdrawal: what happens to open steps when the scope around them is left by a fault, a
timeout, a cancel, `end`, or because another branch won; and the waiting for those of their
attempts that a worker already runs.

Theory of operation. An attempt that nobody has claimed is withdrawn and never starts. One
that runs cannot be called back: its step stays open, marked ``flying``, until the attempt
has ended, been lost or reached its limit. Nothing that comes of it advances the tree, but a
success is recorded and can be compensated (DESIGN, Stale and withdrawn). Whoever may start
something new only afterwards (a retry, a `catch.do`, a compensation) is the *settler*: the
flying steps name it, and the last of them to land lets it go on.
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

#: After its limit a withdrawn attempt is given this long to be heard of, in seconds.
DRAIN_GRACE = 5.0


@dataclass(slots=True)
class OpenSteps:
    """The open steps of the instance as the draft has them, with their live attempts."""

    nodes: list[Node]
    attempts: dict[int, Attempt]
    paths: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def is_below(self, draft: Draft, node: Node, top: int) -> bool:
        """Whether `top` is around this step."""
        return top == ROOT or top in self.ancestors(draft, node)

    def ancestors(self, draft: Draft, node: Node) -> tuple[int, ...]:
        """The numbers of the steps around this one, from the inside out. A flying step
        remembers them, because the steps between may have ended and be out of sight."""
        drain = node.get_state("flying")
        if drain is not None:
            return tuple(drain["path"])
        path = self.paths.get(node.id)
        if path is None:
            above = () if node.parent == ROOT else self.ancestors(draft, draft.node(node.parent))
            path = self.paths[node.id] = above if node.parent == ROOT else (node.parent, *above)
        return path


def open_steps(draft: Draft) -> OpenSteps:
    """Every open step of the instance. Raises `Needs`."""
    loaded = draft.need("open")
    # All are made known first: a step's chain is looked for among them.
    attempts = {step.id: attempt for step, attempt in loaded if attempt is not None}
    for step, _ in loaded:
        draft.adopt(step)
    for attempt in draft.attempts:
        attempts[attempt.step] = attempt
    over = {end.attempt for end in draft.ended}
    live = {step: one for step, one in attempts.items() if one.id not in over}
    nodes = [node for node in draft.nodes.values() if node.is_open]
    return OpenSteps(sorted(nodes, key=lambda node: node.id), live)


def withdraw(
    draft: Draft, below: int, *, waiter: int | None = None, stopped_run: int | None = None
) -> int:
    """Stop every open step below one (or below `ROOT`); returns how many of them still fly.

    `settler` is told when the last of these has landed. `stopped` is the run whose end this
    is: the steps remember it, so that a repair finds them.
    """
    steps = open_steps(draft)
    draining = 0
    for node in reversed(steps.nodes):
        if not steps.is_below(draft, node, below) or not node.is_open:
            continue
        if node.get_state("flying") is not None:
            node.set_state(settler=waiter)
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
    """The step's attempt ended while the instance was suspended. That has happened, whatever
    overtakes it: a success can be compensated, and what was given up is a dead letter.

    True: it lands in its turn, because its output is an expression, which is not evaluated
    while a command is decided.
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
    node.set_state(flying={"path": list(path)}, settler=waiter)
    draft.push(node.id, {"land": True})
    return True


def finish_recorded(draft: Draft, node: Node) -> None:
    """The turn of a step whose recorded result was to land."""
    _apply_recorded_end(draft, node, node.get_state("settler"))


def _apply_recorded_end(draft: Draft, node: Node, waiter: int | None) -> None:
    end, is_exhausted = attempts.take_recorded_end(draft, node)
    finish_draining(draft, node, end.state, end.output, end.error, unknown=end.unknown)
    if is_exhausted and not will_retry_block(draft.node(waiter) if waiter else None):
        add_dead_letter(draft, node, node.error)


def will_retry_block(handler: Node | None) -> bool:
    """Whether who handles a fault is a `try` that begins its block anew."""
    if handler is None or handler.kind != "try":
        return False
    return "retry" in handler.get_state("next", {})


def add_dead_letter(draft: Draft, node: Node, error: Mapping[str, Json]) -> None:
    """A step that was given up is a dead letter, which settles itself where a new run begins it
    anew."""
    draft.dead_letters.append({"step": node.id, "reason": "lost", "error": dict(error)})
    if node.get_state("stopped") is not None:
        node.set_state(letter=True)


def _is_in_compensation_below(draft: Draft, node: Node, below: int, steps: OpenSteps) -> bool:
    """Whether the step belongs to an undoing that is below what is withdrawn, as a whole."""
    undoing = in_compensation(draft, node)
    return undoing is not None and steps.is_below(draft, undoing, below)


def _await_compensation(node: Node, waiter: int | None) -> int:
    """An undoing that has begun is never broken off: it is waited for."""
    if node.undoes is None:
        return 0
    node.set_state(settler=waiter)
    return 1


def cannot_be_stopped(node: Node, steps: OpenSteps) -> bool:
    """Whether a worker already runs the step's attempt, or a sub-workflow its work."""
    attempt = steps.attempts.get(node.id)
    if attempt is not None and attempt.state is AttemptState.CLAIMED:
        return True
    return node.kind == "run" and node.get_state("child") is not None


def start_draining(
    draft: Draft,
    node: Node,
    path: tuple[int, ...],
    waiter: int | None,
    attempt: Attempt | None,
    error: Json = None,
) -> None:
    """A step whose attempt runs on, or whose sub-workflow does, is left to land by itself."""
    remove_timers(draft, node)
    if node.status is not Status.RUNNING:
        draft.set_status(node, Status.RUNNING)
    node.error = error
    node.set_state(flying={"path": list(path)}, settler=waiter)
    if node.get_state("child") is not None:
        abandon_child(draft, node, "the parent withdrew it")
    else:
        draft.withdrawn.append(node.id)
        if attempt is not None and attempt.time_limit is not None:
            draft.arm(node.id, TimerKind.TIMEOUT, attempt.time_limit + DRAIN_GRACE)


def abandon_child(draft: Draft, node: Node, reason: str) -> None:
    """Tell the sub-workflow of a step, if it has one that has not completed, that nobody needs
    it any more."""
    child = node.get_state("child")
    if child is not None and node.kind == "run" and node.status is not Status.COMPLETED:
        command = {"command": "abandon", "ask": node.get_state("ask", 0), "reason": reason}
        draft.send_stimulus(StimulusKind.COMMAND, child, None, command)


def cancel_step(draft: Draft, node: Node, stopped_run: int | None) -> None:
    """An open step ends as cancelled, with its timers, listeners and unclaimed attempt."""
    remove_timers(draft, node)
    if node.kind == "listen":
        draft.remove_listener(node.id)
    if node.original is None:
        draft.attempts = [one for one in draft.attempts if one.step != node.id]
    elif node.kind == "call":
        draft.attempts = [one for one in draft.attempts if one.step != node.id]
        draft.withdrawn.append(node.id)
    draft.set_status(node, Status.CANCELLED)
    if stopped_run is not None:
        node.set_state(stopped=stopped_run)
    draft.add_fact("task.cancelled", node.id)


def on_late_end(draft: Draft, node: Node, end: AttemptEnd) -> None:
    """A withdrawn attempt has ended: record how. The step then is what it really was."""
    draft.ended.append(end)
    finish_draining(draft, node, end.state, end.output, end.error, unknown=end.unknown)


def finish_draining(
    draft: Draft,
    node: Node,
    state: AttemptState,
    output: Json,
    error: Json,
    *,
    unknown: bool = False,
) -> None:
    """As `landed`, also for a sub-workflow."""
    draft.remove_timers(node.id)
    waiter = node.get_state("settler")
    node.set_state(flying=None, settler=None)
    if state is AttemptState.SUCCEEDED:
        record_late_success(draft, node, output)
    else:
        lost = state is AttemptState.LOST or unknown
        if node.error is None:
            node.error = with_instance(error or {}, node.ref)
        draft.set_status(node, Status.FAULTED)
        if lost:
            mark_outcome_unknown(draft, node)
        data = {"error": node.error, "late": True}
        draft.add_fact("task.faulted", node.id, {**data, "unknown": True} if lost else data)
    _prune_if_drained(draft, node)
    if waiter is not None:
        on_drained(draft, waiter)


def _prune_if_drained(draft: Draft, node: Node) -> None:
    """The last one to land in a step that was to be pruned takes that with it."""
    top = node.get_state("prunes")
    if top is not None and not draining_below(draft, top):
        draft.pruned.append(top)


def record_late_success(draft: Draft, node: Node, output: Json) -> None:
    """A step has succeeded after all; nothing follows from it."""
    plan = draft.plan_of(node)
    node.output = output
    with suppress(Fault):  # then it is kept as it came: a compensation needs it all the more
        node.output = transformed(draft, node, plan.output, None, output, "output")
    node.error = None
    draft.set_status(node, Status.COMPLETED)
    node.done = draft.number()
    draft.add_fact("task.completed", node.id, {"late": True})


def mark_outcome_unknown(draft: Draft, node: Node) -> None:
    """Nobody knows whether the step's effects happened: it is undone only where the document
    says so (`metadata.compensate.onUnknown`)."""
    node.unknown = True
    undoing = draft.plan_of(node).task.metadata.get("compensate") or {}
    if node.undo is not None and undoing.get("onUnknown") is True:
        node.done = draft.number()
    else:
        node.undo = None


def on_drained(draft: Draft, waiter: int) -> None:
    """One thing fewer to wait for: with the last of them the settler goes on."""
    if waiter == ROOT:
        draft.push(ROOT, {"settled": True})
        return
    node = draft.node(waiter)
    if node.is_open:
        node.open -= 1
        if node.open == 0:
            draft.push(waiter, {"settled": True})


def on_drain_timeout(draft: Draft, node: Node) -> None:
    """A flying step has reached its limit without a word: nobody knows what became of it."""
    if node.get_state("result") is not None:  # it was heard of, and only waits for its turn
        return finish_recorded(draft, node)
    error = timeout("the attempt was withdrawn, and nothing was heard of it within its limit")
    live = draft.need("attempt", node.id)
    if live is not None and live.state in (AttemptState.READY, AttemptState.CLAIMED):
        draft.ended.append(AttemptEnd(live.id, AttemptState.LOST, error=error, unknown=True))
    return finish_draining(draft, node, AttemptState.LOST, None, node.error or error)


def interrupt(draft: Draft, node: Node, error: Mapping[str, Json]) -> None:
    """Break off what a step without open children is doing, because it faults: an attempt
    that runs flies on, and lands by itself; one that nobody has claimed is withdrawn."""
    steps = open_steps(draft)
    if cannot_be_stopped(node, steps):
        path = steps.ancestors(draft, node)
        start_draining(draft, node, path, None, steps.attempts.get(node.id), dict(error))
    elif node.kind == "call":
        draft.withdrawn.append(node.id)


def is_draining(draft: Draft) -> bool:
    """Whether something may have to be waited for: this transition has seen a step whose
    withdrawn attempt still runs, or a compensation that has begun, or a step of the instance was
    once skipped while a worker ran it (its ancestors do not show that it is open)."""
    if draft.root.get_state("replaced"):
        return True
    return any(
        node.is_open and (node.undoes is not None or node.get_state("flying"))
        for node in draft.nodes.values()
    )
