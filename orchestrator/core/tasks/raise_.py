"""``raise``: fault with an error, inline or from ``use.errors`` (dsl-reference.md, Raise)."""

from __future__ import annotations

from typing import Any

from orchestrator.core import dsl_errors
from orchestrator.core.data_flow import render
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.model import Json
from orchestrator.core.task_kinds import StepFaulted, TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Render the error and raise it."""
    if plan.kind_plan is None:
        plan.kind_plan = Template(_definition(plan), "raise.error", loose=plan.loose)
    raise StepFaulted(node, _checked(render(draft, node, plan.kind_plan, node.input)))


def _definition(plan: Plan) -> Any:
    error = plan.task.body["raise"]["error"]
    if not isinstance(error, str):
        return error
    errors = plan.task.workflow.use.get("errors") or {}
    if error not in errors:
        # An unknown name of an error is rare here, because a deployment of a document with one is
        # refused. Raise a validation error, as other runtimes of the DSL do.
        raise dsl_errors.validation(f"use.errors has no {error!r}")
    return errors[error]


def _checked(error: Json) -> dict[str, Json]:
    """Check type and status (dsl-reference.md, Error): expressions may return anything."""
    if not isinstance(error, dict):
        raise dsl_errors.expression("the error to raise is not an object")
    for name, kind in (("type", str), ("status", int)):
        if not isinstance(error.get(name), kind):
            raise dsl_errors.expression(f"the error to raise has no {name} that is {kind.__name__}")
    texts = {name: _text(value) for name, value in error.items() if value is not None}
    return {**texts, "status": error["status"]}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else str(value)


register("raise", TaskKind(enter))
