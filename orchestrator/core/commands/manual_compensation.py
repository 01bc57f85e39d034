"""Compensate an instance that has ended, and act on the dead letters of failed compensations."""

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
    """Undo an instance that has ended: all of it, or back to a step (``step``), which is not undone
    itself. ``reply`` is the parent's step that asked: then an open instance is cancelled first, and
    the command waits for a running compensation."""
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
        down_to = step_of(draft, data["step"]).completion_number or 0
        if not down_to:
            raise CommandRefused("nothing can be undone back to a step that has not completed")
    detail = str(data.get("reason") or "compensation was requested")
    cause = root.error or {**standard_error("runtime", detail), "title": "Compensated"}
    draft.add_fact("workflow.compensated", None, reason(data) or None)
    # A losing branch of a competing `fork` may still run. Withdraw its attempts first: a step may
    # be undone only after its attempt has ended.
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
    """Retry or resolve a failed compensation. ``step`` is the compensating step; ``action`` is
    "retry" (undo the step again, after other compensations) or "resolve" (a person has undone it).
    """
    compensating = step_of(draft, data.get("step"))
    action = data.get("action")
    if action not in ("retry", "resolve"):
        raise CommandRefused(f"a failed compensation is retried or resolved, not {action!r}")
    if compensating.compensates is None or compensating.status is not Status.FAULTED:
        raise CommandRefused("the step is not a failed compensation")
    if compensating.get_state("resolution") or draft.root.is_open:
        raise CommandRefused(
            "the compensation was retried or resolved already, or the instance still runs"
        )
    running = draft.root.compensation is Compensation.RUNNING or draft.count_open_leaves()[0]
    if action == "retry" and running:
        return compensation.postpone_command(draft, data)
    compensating.set_state(resolution=action)
    if action == "retry":
        return _retry_undo(draft, compensating, data)
    draft.set_status(compensating, Status.COMPLETED)
    record = {"undoing": compensating.id, **reason(data)}
    draft.add_fact("compensation.resolved", compensating.compensates, record)
    compensation.on_dead_letter_closed(draft)
    if draft.root.compensation is Compensation.FAILED and not draft.root.get_state(
        "open_dead_letters"
    ):
        draft.set_compensation(Compensation.COMPLETED)
    return None


def _retry_undo(draft: Draft, compensating: Node, data: Mapping[str, Json]) -> None:
    node = draft.node(compensating.compensates or ROOT)
    node.compensated_by = "child" if compensating.kind == "child_compensation" else "task"
    draft.add_fact("compensation.retried", node.id, {"undoing": compensating.id, **reason(data)})
    compensation.on_dead_letter_closed(draft)
    done = node.completion_number or 0
    compensation.start(
        draft,
        compensating.error,
        after_drain=False,
        before=done + 1,
        down_to=done - 1,
        reports_end=False,
    )
