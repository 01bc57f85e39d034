"""Compensate what has ended, and settle what could not be undone."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, settle
from orchestrator.core.commands import stopping
from orchestrator.core.commands.refused import Refused, reason
from orchestrator.core.faults import standard
from orchestrator.core.nodes import Node
from orchestrator.core.values import ROOT, Compensation, Json, Status
from orchestrator.core.work import Draft


def compensate(draft: Draft, data: Mapping[str, Json]) -> None:
    """Undo an instance that has ended: whole, or back to a step (``step``), which itself
    stands. ``reply`` is the step of the parent that asked: then an open instance is cancelled
    first, and a compensation that runs is waited for."""
    root = draft.root
    if data.get("reply") is not None and (
        root.is_open or root.compensation is Compensation.RUNNING
    ):
        compensation.put_off(draft, data)
        return stopping.cancel(draft, data) if root.is_open else None
    if root.is_open or root.compensation is Compensation.RUNNING:
        raise Refused(f"the instance is {root.status}, its compensation {root.compensation}")
    down_to = 0
    if data.get("step") is not None:
        down_to = _step(draft, data["step"]).done or 0
        if not down_to:
            raise Refused("nothing can be undone back to a step that has not completed")
    detail = str(data.get("reason") or "compensation was asked for")
    cause = root.error or {**standard("runtime", detail), "title": "Compensated"}
    draft.fact("workflow.compensated", None, reason(data) or None)
    # A competitor that lost may still run: nobody has waited for it so far.
    flying = settle.withdraw(draft, ROOT, settler=ROOT) if draft.leaves()[0] else 0
    compensation.start(
        draft,
        cause,
        waits=flying > 0,
        down_to=down_to,
        reply=data.get("reply"),
        reports=False,
    )
    return None


def settle_letter(draft: Draft, data: Mapping[str, Json]) -> None:
    """Settle a failed compensation: ``action`` "retry" has the step undone again, where others
    are being undone after those; "resolve" says that a person has seen to it. ``step`` is the
    compensating step."""
    undoing = _step(draft, data.get("step"))
    action = data.get("action")
    if action not in ("retry", "resolve"):
        raise Refused(f"a failed compensation is retried or resolved, not {action!r}")
    if undoing.undoes is None or undoing.status is not Status.FAULTED:
        raise Refused("the step is no compensation that has failed")
    if undoing.recall("settled") or draft.root.is_open:
        raise Refused("the compensation was settled already, or the instance still runs")
    if action == "retry" and draft.root.compensation is Compensation.RUNNING:
        return compensation.put_off(draft, data)
    undoing.remember(settled=action)
    if action == "retry":
        return _again(draft, undoing, data)
    draft.set_status(undoing, Status.COMPLETED)
    told = {"undoing": undoing.id, **reason(data)}
    draft.fact("compensation.resolved", undoing.undoes, told)
    compensation.letter_settled(draft)
    if draft.root.compensation is Compensation.FAILED and not draft.root.recall("letters"):
        draft.set_compensation(Compensation.COMPLETED)
    return None


def _again(draft: Draft, undoing: Node, data: Mapping[str, Json]) -> None:
    node = draft.node(undoing.undoes or ROOT)
    node.undo = "child" if undoing.kind == "undo" else "task"
    draft.fact("compensation.retried", node.id, {"undoing": undoing.id, **reason(data)})
    compensation.letter_settled(draft)
    done = node.done or 0
    compensation.start(
        draft, undoing.error, waits=False, before=done + 1, down_to=done - 1, reports=False
    )


def _step(draft: Draft, id: Json) -> Node:
    if not isinstance(id, int) or isinstance(id, bool) or id <= ROOT:
        raise Refused(f"{id!r} is no step")
    try:
        return draft.node(id)
    except LookupError as error:
        raise Refused(str(error)) from None
