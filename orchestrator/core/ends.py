"""How an instance ends, and what its end sets off: withdrawal, compensation, the report to
the instance that waits for it (DESIGN, Ends, undoing and keys)."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, settle
from orchestrator.core.data import workflow_output
from orchestrator.core.faults import Fault, placed, standard
from orchestrator.core.nodes import Node
from orchestrator.core.reports import report
from orchestrator.core.values import ROOT, Json, Status
from orchestrator.core.work import Draft

#: The place of errors that belong to the workflow as a whole.
WHOLE = "/"

#: The status of the error that a cancel is to the compensations: client closed request.
CLOSED = 499


def complete(draft: Draft, output: Json, *, beside: bool = False) -> None:
    """The workflow's last task is done, or one said `end`: what may still be open `beside` it
    is withdrawn, and nobody waits for that."""
    root = draft.root
    try:
        root.output = workflow_output(draft, output)
    except Fault as error:
        return fault(draft, placed(error.error, WHOLE), None, beside=beside)
    if beside:
        settle.withdraw(draft, ROOT)
    draft.set_instance_status(Status.COMPLETED)
    draft.fact("workflow.completed")
    _disarm(draft)
    return report(draft)


def fault(draft: Draft, error: Mapping[str, Json], origin: Node | None, *, beside: bool) -> None:
    """An error that nobody caught. `origin` is the step it came from; `beside` says that
    something may still be open."""
    root = draft.root
    root.error = dict(error)
    draft.set_instance_status(Status.FAULTED)
    draft.fact("workflow.faulted", None, {"error": root.error})
    if origin is not None:
        root.remember(failed=origin.id)
    flying = 0
    # A step that was skipped while a worker ran it is open somewhere else in the tree.
    if beside or draft.plan.parallel or settle.anything_flies(draft) or draft.leaves()[0]:
        flying = settle.withdraw(draft, ROOT, settler=ROOT, stopped=root.run)
    undo = draft.plan.compensates and draft.plan.on_fault == "compensate"
    _aftermath(draft, flying, root.error if undo else None)


def cancel(draft: Draft, reason: Mapping[str, Json], *, undo: bool) -> None:
    """A person or a parent stops the instance; `undo` compensates what it has done."""
    draft.set_instance_status(Status.CANCELLED)
    draft.fact("workflow.cancelled", None, dict(reason) or None)
    flying = settle.withdraw(draft, ROOT, settler=ROOT, stopped=draft.root.run)
    detail = str(reason.get("reason") or "the instance was cancelled")
    cause = {**standard("runtime", detail, CLOSED), "title": "Cancelled", "instance": WHOLE}
    _aftermath(draft, flying, cause if undo and draft.plan.compensates else None)


def _aftermath(draft: Draft, flying: int, cause: Json) -> None:
    _disarm(draft)
    if cause is not None:
        compensation.start(draft, cause, waits=flying > 0)
    elif flying and draft.root.was.parent_step is not None:
        draft.root.remember(report=True)
    else:
        report(draft)
        compensation.release(draft)


def _disarm(draft: Draft) -> None:
    if draft.plan.timeout is not None or draft.root.started_at is None:
        draft.disarm(ROOT)


def settled(draft: Draft) -> None:
    """A withdrawn step has landed: with the last of them compensation begins, or the parent
    hears how this instance ended."""
    root = draft.root
    if root.is_open or draft.leaves()[0]:
        return None
    if root.recall("undo") is not None:
        return compensation.go_on(draft, None)
    if root.recall("report"):
        root.remember(report=None)
        report(draft)
    return compensation.release(draft)
