"""A parent's retry of its sub-workflow, which the sub-workflow always answers.

Theory of operation. A parent's retry reopens the same `run` step and asks the sub-workflow to
continue; no transaction locks two instances. The sub-workflow answers every such command, so that
the step never waits in vain: with its end if it has completed, ``open`` if it continues (its end
follows), ``gone`` if it was compensated, ``refused`` if it cannot continue. If attempts are in
flight or a compensation runs, it answers after their end. Each command has the number of the
parent's run (`retry_run`); the reports that follow carry it, and the step ignores all others.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation
from orchestrator.core.commands import retry_and_skip
from orchestrator.core.commands.refusal import CommandRefused
from orchestrator.core.model import Compensation, Json, Status
from orchestrator.core.parent_report import answer_parent_retry, report
from orchestrator.core.transition_draft import Draft


def retry(draft: Draft, data: Mapping[str, Json]) -> None:
    """Start a new run from the step that failed, with edited inputs if `data` has them; with
    ``retry_run`` answer the parent's retry."""
    if "retry_run" not in data:
        return retry_and_skip.retry(draft, data)
    if draft.root.original.parent_step != data.get("step"):
        raise CommandRefused("no step of that number waits for this instance")
    if not _can_answer(draft):
        return compensation.postpone_command(draft, data)
    return _answer(draft, data)


def refuse(draft: Draft, data: Mapping[str, Json], reason: str) -> None:
    """Refuse the new run that a parent asked for, in history and in the answer to the parent."""
    draft.add_fact("command.refused", None, {"command": "retry", "reason": reason})
    draft.root.set_state(retry_run=data["retry_run"])
    answer_parent_retry(draft, "refused", reason)


def _can_answer(draft: Draft) -> bool:
    """Whether the answer is possible now. A completed instance may have competing branches in
    flight; its end does not change."""
    root = draft.root
    if root.compensation is Compensation.RUNNING:
        return False
    return root.is_open or root.status is Status.COMPLETED or not draft.count_open_leaves()[0]


def _answer(draft: Draft, data: Mapping[str, Json]) -> None:
    root, retry_run = draft.root, data["retry_run"]
    last_retry_run = root.get_state("retry_run", 0)
    if retry_run < last_retry_run:
        raise CommandRefused("the parent has since asked for a later run")
    root.set_state(retry_run=retry_run)
    if root.is_open:
        return answer_parent_retry(draft, "open")
    if retry_run == last_retry_run:  # a repeated command starts no second run
        return report(draft)
    if root.compensation is Compensation.COMPLETED:
        return answer_parent_retry(draft, "gone")
    if root.compensation is Compensation.FAILED:
        return answer_parent_retry(draft, "refused", "the compensation of the sub-workflow failed")
    if root.status is Status.COMPLETED or retry_run <= root.get_state("abandoned", retry_run - 1):
        return report(draft)
    root.set_state(abandoned=None)
    retry_and_skip.retry(
        draft, {"reason": data.get("reason"), "by": data.get("by")}, by_parent=True
    )
    return answer_parent_retry(draft, "open")
