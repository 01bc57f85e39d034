"""``wait``: nothing happens for a time; the data passes through (dsl-reference.md, Wait)."""

from __future__ import annotations

from orchestrator.core.control_flow import complete
from orchestrator.core.data_flow import duration_seconds
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.model import Status, TimerKind
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Set a timer; a wait for no time at all is over at once."""
    if plan.own is None:
        plan.own = Template(plan.task.body["wait"], "wait")
    seconds = duration_seconds(draft, node, plan.own, node.input)
    if seconds <= 0:
        return complete(draft, node, node.input)
    draft.arm(node.id, TimerKind.WAIT, seconds)
    return draft.set_status(node, Status.WAITING)


def on_due(draft: Draft, node: Node) -> None:
    """The time has passed."""
    complete(draft, node, node.input)


register("wait", TaskKind(enter, on_timer={TimerKind.WAIT: on_due}))
