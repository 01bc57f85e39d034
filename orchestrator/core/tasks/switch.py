"""``switch``: the first case that holds says where to go (dsl-reference.md, Switch).

A case without a condition is the default, wherever it stands. Without a match the task's own
``then`` counts. The data passes through.
"""

from __future__ import annotations

from orchestrator.core.data import holds
from orchestrator.core.flow import complete
from orchestrator.core.kinds import Kind, register
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.templates import Expression
from orchestrator.core.work import Draft


class Cases:
    """The cases with conditions, in order, and where the default goes."""

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
    if plan.own is None:
        plan.own = Cases(plan.task.body["switch"])
    cases: Cases = plan.own
    for condition, then in cases.conditions:
        if holds(draft, node, condition, node.input):
            return complete(draft, node, node.input, then)
    return complete(draft, node, node.input, cases.default)


register("switch", Kind(enter))
