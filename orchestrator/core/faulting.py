"""What a fault sets off: who handles it, what it stops on its way (dsl.md, Fault Tolerance).

First the way up is only looked at, until a step that catches the error, a compensation, or
the workflow itself. Then the steps on the way fault, and the handler goes on; it withdraws
what runs beside them.

A step that was given up because its attempts were lost is a dead letter besides, unless the
block around it is tried again. Within a compensation that fails, the compensation is it.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import compensation, ends, settle
from orchestrator.core.faults import Fault, placed
from orchestrator.core.flow import disarm
from orchestrator.core.kinds import KINDS, Faulted
from orchestrator.core.nodes import Node
from orchestrator.core.values import ROOT, Json, Status
from orchestrator.core.work import Draft

Way = list[tuple[Node, dict[str, Json]]]
"""The steps that fault, from the inside out, each with its error."""


def fault(draft: Draft, faulted: Faulted) -> None:
    """A step has faulted, or (where it has completed) what follows it cannot begin."""
    node = faulted.node
    way, handler = _way_up(draft, node, placed(faulted.error, node.ref))
    top, cause = way[-1]
    undoes = top.undoes is not None
    if undoes and not faulted.unknown and compensation.tries_again(draft, top, node, cause):
        return
    stopped = draft.root.run if handler is None and not undoes else None
    if faulted.running:
        _break_off(draft, node, way[0][1], stopped)
    if faulted.unknown:
        settle.mark_unknown(draft, node)
    beside = any(step.open > 1 for step, _ in way[1:])
    for step, its in way:
        if step.is_open:
            _end(draft, step, its, stopped)
    if faulted.given_up and not undoes and not settle.is_tried_again(handler):
        settle.bury(draft, node, way[0][1])
    if undoes:
        if beside:
            settle.withdraw(draft, top.id)
        compensation.failed(draft, top, cause)
    elif handler is None:
        ends.fault(draft, cause, node, beside=beside)
    else:
        _handle(draft, handler, top, cause, beside)


def _break_off(draft: Draft, node: Node, error: Mapping[str, Json], stopped: int | None) -> None:
    if node.open:
        settle.withdraw(draft, node.id, stopped=stopped)
    else:
        settle.interrupt(draft, node, error)


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
    if stopped is not None:
        node.remember(stopped=stopped)
    if node.recall("flying") is not None:
        return
    disarm(draft, node)
    if node.kind == "listen":
        draft.close(node.id)
    draft.set_status(node, Status.FAULTED)
    data: dict[str, Json] = {"error": error}
    draft.fact("task.faulted", node.id, {**data, "unknown": True} if node.unknown else data)
