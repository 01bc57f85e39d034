"""Which extensions apply to a task (dsl-reference.md, Extension)."""

from __future__ import annotations

from orchestrator.core.data import holds
from orchestrator.core.faults import Fault
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.templates import Expression
from orchestrator.core.values import Json
from orchestrator.core.variables import describe
from orchestrator.core.work import Draft


def applying(draft: Draft, node: Node, plan: Plan, raw: Json) -> list[int]:
    """The places in ``use.extensions`` of those whose `when` holds on the raw input.

    There `$task` is the task's descriptor together with the members of its definition: the
    specification's own examples ask for ``$task.call`` and ``$task.with``. A condition that
    fails by these members is asked again of the descriptor alone: what dsl.md doesn't promise
    must not be what makes a document fault.
    """
    known = draft.plan.extensions
    return [
        known.index(one)
        for one in plan.extensions or ()
        if one.when is None or _holds(draft, node, plan, one.when, raw)
    ]


def _holds(draft: Draft, node: Node, plan: Plan, when: Expression, raw: Json) -> bool:
    descriptor = describe(draft, node)
    try:
        return holds(draft, node, when, raw, {"task": {**plan.task.body, **descriptor}})
    except Fault:
        return holds(draft, node, when, raw, {"task": descriptor})
