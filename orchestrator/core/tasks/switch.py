"""``switch``: the first case that is true decides the next task (dsl-reference.md, Switch).

A case without a condition is the default, at any place in the list. Without a match the task's own
``then`` applies. The output is the input.
"""

from __future__ import annotations

from orchestrator.core.control_flow import complete
from orchestrator.core.data_flow import is_true
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Expression
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


class Cases:
    """The cases with conditions, in order, and the default's directive."""

    __slots__ = ("conditions", "default")

    def __init__(self, cases: list[dict[str, dict[str, str]]]) -> None:
        named = [item for case in cases for item in case.items()]
        self.conditions = [
            (Expression(body["when"], f"switch.{name}.when"), body["then"])
            for name, body in named
            if "when" in body
        ]
        defaults = [body["then"] for _, body in named if "when" not in body]
        self.default = defaults[0] if defaults else None


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Find the case, and complete with its directive."""
    if plan.kind_plan is None:
        plan.kind_plan = Cases(plan.task.body["switch"])
    cases: Cases = plan.kind_plan
    for condition, then in cases.conditions:
        if is_true(draft, node, condition, node.input):
            return complete(draft, node, node.input, then)
    return complete(draft, node, node.input, cases.default)


register("switch", TaskKind(enter))
