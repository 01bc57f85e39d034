"""Cancel and terminate: stop an instance, with or without compensation."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, instance_end
from orchestrator.core.commands import suspension
from orchestrator.core.commands.refusal import CommandRefused, reason, require_open
from orchestrator.core.model import Compensation, Json, Status
from orchestrator.core.parent_report import report
from orchestrator.core.transition_draft import Draft


def cancel(draft: Draft, data: Mapping[str, Json]) -> None:
    """Stop the instance, and undo what has completed."""
    _stop(draft, data, undo=True)


def terminate(draft: Draft, data: Mapping[str, Json]) -> None:
    """Stop the instance and undo nothing. If it has ended and is being compensated, finish the
    present step's compensation and undo no other."""
    root = draft.root
    if not root.is_open and root.compensation is Compensation.RUNNING:
        draft.add_fact("compensation.terminated", None, reason(data) or None)
        return compensation.abort(draft)
    if root.get_state("report"):  # it has ended; report now instead of after the draining steps
        root.set_state(report=None)
        draft.add_fact("workflow.terminated", None, reason(data) or None)
        return report(draft)
    return _stop(draft, data, undo=False)


def abandon(draft: Draft, data: Mapping[str, Json]) -> None:
    """Cancel an instance that its parent no longer needs; from then on only the parent's retry
    continues it. ``retry_run``: the number of the parent's last retry, if any."""
    root, retry_run = draft.root, data.get("retry_run", 0)
    if root.status is Status.COMPLETED:
        raise CommandRefused("the instance is completed already")
    if retry_run < root.get_state("retry_run", 0):
        raise CommandRefused("the parent has since asked for a new run")
    root.set_state(abandoned=retry_run)
    if root.is_open:
        return _stop(draft, data, undo=True)
    return draft.add_fact("workflow.abandoned", None, reason(data) or None)


def _stop(draft: Draft, data: Mapping[str, Json], *, undo: bool) -> None:
    require_open(draft)
    paused = draft.root.status is Status.SUSPENDED
    instance_end.cancel(draft, reason(data), undo=undo)
    if paused:
        suspension.resume_steps(draft)
