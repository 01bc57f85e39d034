"""``wait``: nothing happens for a time; the data passes through (dsl-reference.md, Wait)."""

from __future__ import annotations

from orchestrator.core.data import length
from orchestrator.core.flow import complete
from orchestrator.core.kinds import Kind, register
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.templates import Template
from orchestrator.core.values import Status, TimerKind
from orchestrator.core.work import Draft


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Set a timer; a wait for no time at all is over at once."""
    if plan.own is None:
        plan.own = Template(plan.task.body["wait"], "wait")
    seconds = length(draft, node, plan.own, node.input)
    if seconds <= 0:
        return complete(draft, node, node.input)
    draft.arm(node.id, TimerKind.WAIT, seconds)
    return draft.set_status(node, Status.WAITING)


def over(draft: Draft, node: Node) -> None:
    """The time has passed."""
    complete(draft, node, node.input)


register("wait", Kind(enter, timers={TimerKind.WAIT: over}))
