"""``set``: the step's output is what it says (dsl-reference.md, Set). It replaces the data."""

from __future__ import annotations

from orchestrator.core.data import fill
from orchestrator.core.flow import complete
from orchestrator.core.kinds import Kind, register
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.templates import Template
from orchestrator.core.work import Draft


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Fill in the template and complete with it."""
    if plan.own is None:
        plan.own = Template(plan.task.body["set"], "set", loose=plan.loose)
    complete(draft, node, fill(draft, node, plan.own, node.input))


register("set", Kind(enter))
