"""The retry that a parent sends to a sub-workflow: whatever state that is in, it answers.

Theory of operation. A parent's retry opens the same `run` step again and asks its sub-workflow
to go on; nobody locks two instances. The sub-workflow answers every such command, so that the
step never waits in vain: with its end if it has completed, ``open`` if it goes on (its end
follows), ``gone`` if it was undone, ``refused`` if it cannot go on. Where attempts are in flight
or a compensation runs, the answer waits for their end. Each ask has the number of the parent's
run; the reports that follow carry it, and the step takes no others.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation
from orchestrator.core.commands import retry_and_skip
from orchestrator.core.commands.refusal import CommandRefused
from orchestrator.core.model import Compensation, Json, Status
from orchestrator.core.parent_report import answer, report
from orchestrator.core.transition_draft import Draft


def retry(draft: Draft, data: Mapping[str, Json]) -> None:
    """A new run from the step that failed, with edited inputs where `data` has them; or, with
    ``ask``, what the parent's retry wants."""
    if "ask" not in data:
        return retry_and_skip.retry(draft, data)
    if draft.root.original.parent_step != data.get("step"):
        raise CommandRefused("no step of that number waits for this instance")
    if not _can_answer(draft):
        return compensation.postpone_command(draft, data)
    return _answer(draft, data)


def refuse(draft: Draft, data: Mapping[str, Json], reason: str) -> None:
    """The new run that a parent asked for cannot be: history says so, and the parent is told."""
    draft.add_fact("command.refused", None, {"command": "retry", "reason": reason})
    draft.root.set_state(ask=data["ask"])
    answer(draft, "refused", reason)


def _can_answer(draft: Draft) -> bool:
    """Whether the answer can be given now. A completed instance may have competitors in flight;
    its end stands."""
    root = draft.root
    if root.compensation is Compensation.RUNNING:
        return False
    return root.is_open or root.status is Status.COMPLETED or not draft.count_open_leaves()[0]


def _answer(draft: Draft, data: Mapping[str, Json]) -> None:
    root, ask = draft.root, data["ask"]
    last_ask = root.get_state("ask", 0)
    if ask < last_ask:
        raise CommandRefused("the parent has asked for a later run since")
    root.set_state(ask=ask)
    if root.is_open:
        return answer(draft, "open")
    if ask == last_ask:  # asked twice, it does not begin twice
        return report(draft)
    if root.compensation is Compensation.COMPLETED:
        return answer(draft, "gone")
    if root.compensation is Compensation.FAILED:
        return answer(draft, "refused", "the compensation of the sub-workflow failed")
    if root.status is Status.COMPLETED or ask <= root.get_state("abandoned", ask - 1):
        return report(draft)
    root.set_state(abandoned=None)
    retry_and_skip.retry(
        draft, {"reason": data.get("reason"), "by": data.get("by")}, by_parent=True
    )
    return answer(draft, "open")
