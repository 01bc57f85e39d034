"""Cancel and terminate: stop, with and without undoing."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, ends
from orchestrator.core.commands import pausing
from orchestrator.core.commands.refused import Refused, reason, require_open
from orchestrator.core.reports import report
from orchestrator.core.values import Compensation, Json, Status
from orchestrator.core.work import Draft


def cancel(draft: Draft, data: Mapping[str, Json]) -> None:
    """Stop, and undo what was completed."""
    _stop(draft, data, undo=True)


def terminate(draft: Draft, data: Mapping[str, Json]) -> None:
    """Stop, and undo nothing. Where the instance has ended and is being undone, that stops:
    what is being undone at this moment is finished, and nothing follows."""
    root = draft.root
    if not root.is_open and root.compensation is Compensation.RUNNING:
        draft.fact("compensation.terminated", None, reason(data) or None)
        return compensation.break_off(draft)
    if root.recall("report"):  # it has ended, and its parent need not wait for the rest
        root.remember(report=None)
        draft.fact("workflow.terminated", None, reason(data) or None)
        return report(draft)
    return _stop(draft, data, undo=False)


def abandon(draft: Draft, data: Mapping[str, Json]) -> None:
    """The parent needs the instance no more: if it is open it is cancelled, and from now on only
    the parent has it go on. ``ask``: the number of the parent's last retry of it, if any."""
    root, ask = draft.root, data.get("ask", 0)
    if root.status is Status.COMPLETED:
        raise Refused("the instance is completed already")
    if ask < root.recall("ask", 0):
        raise Refused("the parent has asked for a new run since")
    root.remember(abandoned=ask)
    if root.is_open:
        return _stop(draft, data, undo=True)
    return draft.fact("workflow.abandoned", None, reason(data) or None)


def _stop(draft: Draft, data: Mapping[str, Json], *, undo: bool) -> None:
    require_open(draft)
    paused = draft.root.status is Status.SUSPENDED
    ends.cancel(draft, reason(data), undo=undo)
    if paused:
        pausing.wake(draft)
