"""Compensate what has ended, and settle what could not be undone."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, withdrawal
from orchestrator.core.commands import cancellation
from orchestrator.core.commands.refusal import CommandRefused, reason, step_of
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import standard_error
from orchestrator.core.model import ROOT, Compensation, Json, Status
from orchestrator.core.transition_draft import Draft


def compensate(draft: Draft, data: Mapping[str, Json]) -> None:
    """Undo an instance that has ended: whole, or back to a step (``step``), which itself
    stands. ``reply`` is the step of the parent that asked: then an open instance is cancelled
    first, and a compensation that runs is waited for."""
    root = draft.root
    if data.get("reply") is not None and (
        root.is_open or root.compensation is Compensation.RUNNING
    ):
        compensation.postpone_command(draft, data)
        return cancellation.cancel(draft, data) if root.is_open else None
    if root.is_open or root.compensation is Compensation.RUNNING:
        raise CommandRefused(f"the instance is {root.status}, its compensation {root.compensation}")
    down_to = 0
    if data.get("step") is not None:
        down_to = step_of(draft, data["step"]).done or 0
        if not down_to:
            raise CommandRefused("nothing can be undone back to a step that has not completed")
    detail = str(data.get("reason") or "compensation was asked for")
    cause = root.error or {**standard_error("runtime", detail), "title": "Compensated"}
    draft.add_fact("workflow.compensated", None, reason(data) or None)
    # A competitor that lost may still run: nobody has waited for it so far.
    draining = withdrawal.withdraw(draft, ROOT, waiter=ROOT) if draft.count_open_leaves()[0] else 0
    compensation.start(
        draft,
        cause,
        after_drain=draining > 0,
        down_to=down_to,
        reply=data.get("reply"),
        reports_end=False,
    )
    return None


def act_on_dead_letter(draft: Draft, data: Mapping[str, Json]) -> None:
    """Settle a failed compensation: ``action`` "retry" has the step undone again, where others
    are being undone after those; "resolve" says that a person has seen to it. ``step`` is the
    compensating step."""
    undoing = step_of(draft, data.get("step"))
    action = data.get("action")
    if action not in ("retry", "resolve"):
        raise CommandRefused(f"a failed compensation is retried or resolved, not {action!r}")
    if undoing.undoes is None or undoing.status is not Status.FAULTED:
        raise CommandRefused("the step is no compensation that has failed")
    if undoing.get_state("settled") or draft.root.is_open:
        raise CommandRefused("the compensation was settled already, or the instance still runs")
    if action == "retry" and draft.root.compensation is Compensation.RUNNING:
        return compensation.postpone_command(draft, data)
    undoing.set_state(settled=action)
    if action == "retry":
        return _retry_undo(draft, undoing, data)
    draft.set_status(undoing, Status.COMPLETED)
    record = {"undoing": undoing.id, **reason(data)}
    draft.add_fact("compensation.resolved", undoing.undoes, record)
    compensation.on_dead_letter_closed(draft)
    if draft.root.compensation is Compensation.FAILED and not draft.root.get_state("letters"):
        draft.set_compensation(Compensation.COMPLETED)
    return None


def _retry_undo(draft: Draft, undoing: Node, data: Mapping[str, Json]) -> None:
    node = draft.node(undoing.undoes or ROOT)
    node.undo = "child" if undoing.kind == "undo" else "task"
    draft.add_fact("compensation.retried", node.id, {"undoing": undoing.id, **reason(data)})
    compensation.on_dead_letter_closed(draft)
    done = node.done or 0
    compensation.start(
        draft,
        undoing.error,
        after_drain=False,
        before=done + 1,
        down_to=done - 1,
        reports_end=False,
    )
