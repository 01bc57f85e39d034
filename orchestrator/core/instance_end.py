"""How an instance ends and what follows: withdrawal, compensation, the report to its parent
(DESIGN, Ends, undoing and keys)."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, withdrawal
from orchestrator.core.data_flow import workflow_output
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault, standard_error, with_instance
from orchestrator.core.model import ROOT, Json, Status
from orchestrator.core.parent_report import report
from orchestrator.core.transition_draft import Draft

#: The `instance` member of errors of the whole workflow.
WORKFLOW_POINTER = "/"

#: Status of the error that compensations get after a cancel: client closed request.
CANCEL_STATUS = 499


def complete(draft: Draft, output: Json, *, others_open: bool = False) -> None:
    """Complete the instance after its last task, or after `end`. `others_open`: steps may still be
    open; they are withdrawn, and the instance does not wait for them."""
    root = draft.root
    try:
        root.output = workflow_output(draft, output)
    except Fault as error:
        return fault_workflow(draft, error.error, others_open=others_open)
    if others_open:
        withdrawal.withdraw(draft, ROOT)
    draft.set_instance_status(Status.COMPLETED)
    draft.add_fact("workflow.completed")
    _remove_timeout(draft)
    return report(draft)


def fault_workflow(draft: Draft, error: Mapping[str, Json], *, others_open: bool) -> None:
    """Fault the instance by an error of the whole workflow, as `fault` does."""
    fault(draft, with_instance(error, WORKFLOW_POINTER), None, others_open=others_open)


def fault(
    draft: Draft, error: Mapping[str, Json], origin: Node | None, *, others_open: bool
) -> None:
    """Fault the instance by an error that no step caught. `origin` is the step that faulted;
    `others_open`: other steps may still be open."""
    root = draft.root
    root.error = dict(error)
    draft.set_instance_status(Status.FAULTED)
    draft.add_fact("workflow.faulted", None, {"error": root.error})
    if origin is not None:
        root.set_state(failed=origin.id)
    draining = 0
    # Withdraw the attempts of all steps that are still open. Besides the faulted step this can be a
    # step that was skipped while a worker ran it: it stays open until its attempt ends, even if the
    # steps around it have ended.
    if (
        others_open
        or draft.plan.parallel
        or withdrawal.is_draining(draft)
        or draft.count_open_leaves()[0]
    ):
        draining = withdrawal.withdraw(draft, ROOT, waiter=ROOT, stopped_run=root.run)
    undo = draft.plan.compensates and draft.plan.on_fault == "compensate"
    _after_end(draft, draining, root.error if undo else None)


def cancel(draft: Draft, reason: Mapping[str, Json], *, undo: bool) -> None:
    """Cancel the instance, by a person or a parent. `undo`: compensate what has completed."""
    draft.set_instance_status(Status.CANCELLED)
    draft.add_fact("workflow.cancelled", None, dict(reason) or None)
    draining = withdrawal.withdraw(draft, ROOT, waiter=ROOT, stopped_run=draft.root.run)
    detail = str(reason.get("reason") or "the instance was cancelled")
    cause = {
        **standard_error("runtime", detail, CANCEL_STATUS),
        "title": "Cancelled",
        "instance": WORKFLOW_POINTER,
    }
    _after_end(draft, draining, cause if undo and draft.plan.compensates else None)


def _after_end(draft: Draft, draining: int, cause: Json) -> None:
    _remove_timeout(draft)
    if cause is not None:
        compensation.start(draft, cause, after_drain=draining > 0)
    elif draining and draft.root.original.parent_step is not None:
        draft.root.set_state(report=True)
    else:
        report(draft)
        compensation.release_commands(draft)


def _remove_timeout(draft: Draft) -> None:
    if draft.plan.timeout is not None or draft.root.started_at is None:
        draft.remove_timers(ROOT)


def on_drained(draft: Draft) -> None:
    """After the last withdrawn step has ended, begin the compensation or report the instance's end
    to its parent."""
    root = draft.root
    if root.is_open or draft.count_open_leaves()[0]:
        return None
    if root.get_state("undo") is not None:
        return compensation.undo_next(draft, None)
    if root.get_state("report"):
        root.set_state(report=None)
        report(draft)
    return compensation.release_commands(draft)
