"""How data flows through a task: in by ``input``, out by ``output``, aside by ``export``
(dsl.md, Data Flow; the numbers below are those of its steps)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core import faults
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.schemas import Schema
from orchestrator.core.sizes import too_large
from orchestrator.core.templates import Expression, Template
from orchestrator.core.values import Json
from orchestrator.core.variables import collect
from orchestrator.core.work import Draft
from orchestrator.document.durations import BadDuration
from orchestrator.document.durations import seconds as _seconds
from orchestrator.expressions import ExpressionError

NOTHING: Mapping[str, Json] = {}


def ask(
    draft: Draft,
    node: Node | None,
    expression: Expression,
    value: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """Evaluate one expression on a value; a failure is an `expression` fault, which says where
    in the task the expression stands."""
    names = expression.names
    variables = collect(draft, node, names, extra) if names else {}
    try:
        return draft.evaluate(expression.program, value, variables)
    except ExpressionError as error:
        where = f" (in {expression.place})" if expression.place else ""
        raise faults.expression(f"{error}{where}") from error


def fill(
    draft: Draft,
    node: Node | None,
    template: Template,
    value: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """A template with its expressions evaluated on a value; a `validation` fault where that is
    larger than a task's output may be."""
    if template.plain:
        return template.tree
    filled = template.fill(lambda expression: ask(draft, node, expression, value, extra))
    return filled if template.copies else kept(draft, filled)


def kept(draft: Draft, value: Json) -> Json:
    """A value that an expression has made; a `validation` fault where it is too large."""
    if fault := too_large(value, draft.limits.payload):
        raise fault
    return value


def holds(
    draft: Draft,
    node: Node | None,
    expression: Expression,
    value: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> bool:
    """Whether a condition is met: jq's truth, where only false and null are false."""
    answer = ask(draft, node, expression, value, extra)
    return answer is not None and answer is not False


def seconds(value: Json) -> float:
    """A duration in seconds; a `validation` fault where it is none."""
    try:
        return _seconds(value)
    except BadDuration as error:
        raise faults.validation(str(error)) from None


def length(draft: Draft, node: Node | None, template: Template, value: Json) -> float:
    """A duration in seconds."""
    return seconds(fill(draft, node, template, value))


def take_in(draft: Draft, node: Node, plan: Plan, raw: Json) -> None:
    """Steps 3 and 4: validate the raw input, transform it."""
    node.input = raw
    if plan.plain_input:
        return
    if plan.input_schema is not None:
        plan.input_schema.validate(raw, "the task's input")
    if plan.input is not None:
        node.input = fill(draft, node, plan.input, raw)
        node.raw_input = raw


def give_out(draft: Draft, node: Node, plan: Plan, raw: Json) -> None:
    """Steps 5 to 8: transform and validate the output, then export to the context."""
    node.output = raw
    if plan.plain_output:
        return
    node.raw_output = raw
    node.output = transformed(draft, node, plan.output, plan.output_schema, raw, "output")
    if plan.export is not None or plan.export_schema is not None:
        draft.root.context = exported(draft, node, plan.export, plan.export_schema, node.output)


def transformed(
    draft: Draft,
    node: Node | None,
    template: Template | None,
    schema: Schema | None,
    raw: Json,
    what: str,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """A value transformed, then validated."""
    value = raw if template is None else fill(draft, node, template, raw, extra)
    if schema is not None:
        schema.validate(value, f"the {what}")
    return value


def exported(
    draft: Draft,
    node: Node | None,
    template: Template | None,
    schema: Schema | None,
    output: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """The new context; without ``as`` the one that is."""
    value = draft.root.context
    if template is not None:
        value = fill(draft, node, template, output, extra)
    if schema is not None:
        schema.validate(value, "the context")
    return value


def workflow_input(draft: Draft, raw: Json) -> Json:
    """Steps 1 and 2: validate the workflow's input, transform it."""
    plan = draft.plan
    if plan.input_schema is not None:
        plan.input_schema.validate(raw, "the workflow's input")
    return raw if plan.input is None else fill(draft, None, plan.input, raw)


def workflow_output(draft: Draft, raw: Json) -> Json:
    """Steps 10 and 11: transform the workflow's output, validate it."""
    plan = draft.plan
    return transformed(draft, None, plan.output, plan.output_schema, raw, "workflow's output")


def as_program(value: Any, place: str) -> Expression | None:
    """A field that is always an expression, or None where it is not set."""
    return Expression(value, place) if isinstance(value, str) else None
