"""Fault propagation: find the handler of a fault and stop what it interrupts (dsl.md, Fault
Tolerance).

First only the path upward is searched, until a step that catches the error, a compensation, or the
workflow itself. Then the steps on the path fault and the handler continues; it withdraws the steps
that run beside them.

A step whose attempts are exhausted, or whose next transition can't be decided, also becomes a dead
letter, unless the `try` around it runs its block again. Within a compensation that fails, the
failed compensation is the dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, instance_end, member_faults, withdrawal
from orchestrator.core.control_flow import remove_timers
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault, with_instance
from orchestrator.core.model import ROOT, Json, Status
from orchestrator.core.task_kinds import KINDS, StepFaulted
from orchestrator.core.transition_draft import Draft

HandlerPath = list[tuple[Node, dict[str, Json]]]
"""The steps that fault, from the inside out, each with its error."""


def fault(draft: Draft, faulted: StepFaulted) -> None:
    """Propagate the fault of a step. The step may have completed already: then the task after it
    could not begin."""
    node = faulted.node
    path, handler = _path_to_handler(draft, node, with_instance(faulted.error, node.reference))
    top, cause = path[-1]
    undoes = top.compensates is not None
    if (
        undoes
        and not faulted.outcome_unknown
        and compensation.retry_failed_undo(draft, top, node, cause)
    ):
        return
    stopped_run = draft.root.run if handler is None and not undoes else None
    if faulted.running:
        _interrupt(draft, node, path[0][1], stopped_run)
    if faulted.outcome_unknown:
        withdrawal.mark_outcome_unknown(draft, node)
    others_open = any(step.open_children > 1 for step, _ in path[1:])
    for step, step_error in path:
        if step.is_open:
            _end(draft, step, step_error, stopped_run)
    if faulted.dead_letter and not undoes and not withdrawal.will_retry_block(handler):
        withdrawal.add_dead_letter(draft, node, path[0][1], faulted.dead_letter)
    if undoes:
        if others_open:
            withdrawal.withdraw(draft, top.id)
        compensation.on_undo_failed(draft, top, cause)
    elif handler is None:
        instance_end.fault(draft, cause, _origin(draft, node), others_open=others_open)
    else:
        _handle(draft, handler, top, cause, others_open)


def _origin(draft: Draft, node: Node) -> Node | None:
    """Return the step that a retry restarts: where the error began, also if a container has passed
    it on. None if several members of a container have faulted."""
    if not member_faults.passes_errors_on(draft, node):
        return node
    origins = member_faults.mark_stopped(draft, node, draft.root.run)
    return origins[0] if len(origins) == 1 else None


def _interrupt(
    draft: Draft, node: Node, error: Mapping[str, Json], stopped_run: int | None
) -> None:
    if node.open_children:
        withdrawal.withdraw(draft, node.id, stopped_run=stopped_run)
    else:
        withdrawal.interrupt(draft, node, error)


def _handle(
    draft: Draft, handler: Node, child: Node, error: Mapping[str, Json], others_open: bool
) -> None:
    try:
        KINDS[handler.kind].on_error(draft, handler, child, error, others_open)
    except Fault as fault:
        raise StepFaulted(handler, fault.error) from None


def _path_to_handler(
    draft: Draft, node: Node, error: dict[str, Json]
) -> tuple[HandlerPath, Node | None]:
    """Return the steps that fault, and the step around them that handles the error."""
    path: HandlerPath = [(node, error)]
    while path[-1][0].compensates is None and path[-1][0].parent != ROOT:
        child, error = path[-1]
        parent = draft.node(child.parent)
        try:
            if KINDS[parent.kind].handles_error(draft, parent, child, error):
                return path, parent
        except Fault as fault:  # the `catch` clause itself has failed
            error = with_instance(fault.error, parent.reference)
        path.append((parent, error))
    return path, None


def _end(draft: Draft, node: Node, error: dict[str, Json], stopped_run: int | None) -> None:
    node.error = error
    if stopped_run is not None:
        node.set_state(stopped=stopped_run)
    if node.get_state("draining") is not None:
        return
    remove_timers(draft, node)
    if node.kind == "listen":
        draft.remove_listener(node.id)
    draft.set_status(node, Status.FAULTED)
    data: dict[str, Json] = {"error": error}
    draft.add_fact(
        "task.faulted", node.id, {**data, "unknown": True} if node.outcome_unknown else data
    )
