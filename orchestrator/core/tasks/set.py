"""``set``: the step's output is the task's value (dsl-reference.md, Set). It replaces the data."""

from __future__ import annotations

from orchestrator.core.control_flow import complete
from orchestrator.core.data_flow import render
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Render the template and complete with the result."""
    if plan.kind_plan is None:
        plan.kind_plan = Template(plan.task.body["set"], "set", loose=plan.loose)
    complete(draft, node, render(draft, node, plan.kind_plan, node.input))


register("set", TaskKind(enter))
