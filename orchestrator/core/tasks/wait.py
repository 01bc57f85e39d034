"""``wait``: wait for a time; the output is the input (dsl-reference.md, Wait)."""

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
    """Arm a timer; a wait of zero seconds completes at once."""
    if plan.kind_plan is None:
        plan.kind_plan = Template(plan.task.body["wait"], "wait")
    seconds = duration_seconds(draft, node, plan.kind_plan, node.input)
    if seconds <= 0:
        return complete(draft, node, node.input)
    draft.arm(node.id, TimerKind.WAIT, seconds)
    return draft.set_status(node, Status.WAITING)


def on_due(draft: Draft, node: Node) -> None:
    """Complete after the time has passed."""
    complete(draft, node, node.input)


register("wait", TaskKind(enter, on_timer={TimerKind.WAIT: on_due}))
