"""Reports of an instance to its parent.

The data of such a stimulus is

    status, output, error   the state of the instance
    run, compensation       the number of its run, and the state of its compensation
    held                    true: it faulted or was cancelled and was not compensated
    retry_run               the number of the parent's last retry that was answered, if any
    answer                  in the answer to a retry that is no end: ``open``, it continues and will
                            report its end; ``gone``, it was compensated; ``refused``, it cannot
                            continue

or, after a compensation that the parent asked for, ``compensated`` with the compensation's state.
"""

from __future__ import annotations

from orchestrator.core.model import Compensation, Json, Status, StimulusKind
from orchestrator.core.task_plan import WorkflowPlan
from orchestrator.core.transition_draft import Draft


def report(draft: Draft, *, compensated: bool = False) -> None:
    """Report the instance's end to the step that waits for it, if there is one. `compensated`: it
    has undone what it could."""
    data = _status_data(draft)
    if not compensated and _is_uncompensated(draft):
        data["held"] = True
    _send(draft, draft.root.original.parent_step, data)


def answer_parent_retry(draft: Draft, kind: str, detail: str | None = None) -> None:
    """Answer the parent's retry: ``open``, ``gone`` or ``refused``; `detail` is the reason."""
    data = {**_status_data(draft), "answer": kind}
    if detail:
        data["detail"] = detail
    if kind == "refused" and _is_uncompensated(draft):
        data["held"] = True
    _send(draft, draft.root.original.parent_step, data)


def _is_uncompensated(draft: Draft) -> bool:
    """Whether it faulted or was cancelled and could still be compensated."""
    return is_uncompensated(draft.plan, draft.root.status, draft.root.compensation)


def is_uncompensated(plan: WorkflowPlan, status: Status, compensation: Compensation) -> bool:
    """Whether an instance that ended in this state, not completed, can still be compensated."""
    untouched = compensation is Compensation.NONE and status is not Status.COMPLETED
    return untouched and plan.compensates


def report_compensation(draft: Draft, step: int) -> None:
    """Report the end of a compensation that the parent asked for."""
    _send(draft, step, {"compensated": draft.root.compensation.value})


def _status_data(draft: Draft) -> dict[str, Json]:
    root = draft.root
    data: dict[str, Json] = {
        "status": root.status.value,
        "output": root.output,
        "error": root.error,
        "run": root.run,
        "compensation": root.compensation.value,
    }
    retry_run = root.get_state("retry_run")
    return data if retry_run is None else {**data, "retry_run": retry_run}


def _send(draft: Draft, step: int | None, data: dict[str, Json]) -> None:
    parent = draft.root.original.parent_instance
    if parent is not None and step is not None:
        draft.send_stimulus(StimulusKind.CHILD, parent, step, data)
