"""What a fault sets off: who handles it, what it stops on its way (dsl.md, Fault Tolerance).

First the way up is only looked at, until a step that catches the error, a compensation, or
the workflow itself. Then the steps on the way fault, and the handler goes on; it withdraws
what runs beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, ends, settle
from orchestrator.core.faults import Fault, placed, timeout
from orchestrator.core.flow import disarm
from orchestrator.core.kinds import KINDS, Faulted
from orchestrator.core.values import ROOT, Json, Status
from orchestrator.core.work import Draft, Node

Way = list[tuple[Node, dict[str, Json]]]
"""The steps that fault, from the inside out, each with its error."""


def fault(draft: Draft, node: Node, error: Mapping[str, Json], *, unknown: bool = False) -> None:
    """A step has faulted, or (where it has completed) what follows it cannot begin."""
    way, handler = _way_up(draft, node, placed(error, node.ref))
    top, cause = way[-1]
    if top.undoes is not None and not unknown and compensation.tries_again(draft, top, node, cause):
        return
    if unknown:
        settle.mark_unknown(draft, node)
    beside = any(step.open > 1 for step, _ in way[1:])
    stops = handler is None and top.undoes is None
    for step, its in way:
        if step.is_open:
            _end(draft, step, its, draft.root.run if stops else None)
    if top.undoes is not None:
        if beside:
            settle.withdraw(draft, top.id)
        compensation.failed(draft, top, cause)
    elif handler is None:
        ends.fault(draft, cause, node, beside=beside)
    else:
        _handle(draft, handler, top, cause, beside)


def _handle(
    draft: Draft, handler: Node, child: Node, error: Mapping[str, Json], beside: bool
) -> None:
    try:
        KINDS[handler.kind].caught(draft, handler, child, error, beside)
    except Fault as fault:
        raise Faulted(handler, fault.error) from None


def _way_up(draft: Draft, node: Node, error: dict[str, Json]) -> tuple[Way, Node | None]:
    """The steps that fault, and the step around them that handles it."""
    way: Way = [(node, error)]
    while way[-1][0].undoes is None and way[-1][0].parent != ROOT:
        child, error = way[-1]
        parent = draft.node(child.parent)
        try:
            if KINDS[parent.kind].catches(draft, parent, child, error):
                return way, parent
        except Fault as fault:  # what decides about the error has failed itself
            error = placed(fault.error, parent.ref)
        way.append((parent, error))
    return way, None


def _end(draft: Draft, node: Node, error: dict[str, Json], stopped: int | None) -> None:
    node.error = error
    if node.recall("flying") is not None:
        return
    disarm(draft, node)
    if node.kind == "listen":
        draft.closed.append(node.id)
    draft.set_status(node, Status.FAULTED)
    if stopped is not None:
        node.remember(stopped=stopped)
    data: dict[str, Json] = {"error": error}
    draft.fact("task.faulted", node.id, {**data, "unknown": True} if node.unknown else data)


def timed_out(draft: Draft, node: Node) -> None:
    """A step has taken longer than its timeout allows: whatever it does is withdrawn."""
    error = placed(timeout(f"{node.ref} has taken longer than its timeout"), node.ref)
    if node.open:
        settle.withdraw(draft, node.id)
    else:
        settle.interrupt(draft, node, error)
    fault(draft, node, error)
