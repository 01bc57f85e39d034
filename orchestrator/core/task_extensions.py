"""Which extensions apply to a task (dsl-reference.md, Extension)."""

from __future__ import annotations

from orchestrator.core.data_flow import is_true
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.expression_template import Expression
from orchestrator.core.expression_variables import task_descriptor
from orchestrator.core.model import Json
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def applying_extensions(draft: Draft, node: Node, plan: Plan, raw: Json) -> list[int]:
    """Return the indices in ``use.extensions`` of those whose `when` is true for the raw input.

    In `when`, `$task` is the task's descriptor together with the members of its definition: the
    specification's own examples use ``$task.call`` and ``$task.with``. A condition that fails is
    evaluated again with the descriptor alone: the extra members, which dsl.md does not promise,
    must not make a document fault.
    """
    extensions = draft.plan.extensions
    return [
        extensions.index(extension)
        for extension in plan.extensions or ()
        if extension.when is None or _applies(draft, node, plan, extension.when, raw)
    ]


def _applies(draft: Draft, node: Node, plan: Plan, when: Expression, raw: Json) -> bool:
    descriptor = task_descriptor(draft, node)
    try:
        return is_true(draft, node, when, raw, {"task": {**plan.task.body, **descriptor}})
    except Fault:
        return is_true(draft, node, when, raw, {"task": descriptor})
