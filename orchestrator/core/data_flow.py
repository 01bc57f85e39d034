"""How data flows through a task: ``input``, ``output`` and ``export`` (dsl.md, Data Flow; the
numbers below are those of its steps)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core import dsl_errors
from orchestrator.core.data_schema import Schema
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_evaluation import check_size, evaluate
from orchestrator.core.expression_template import Expression, Template
from orchestrator.core.expression_variables import collect
from orchestrator.core.model import Json
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft
from orchestrator.document.durations import InvalidDuration
from orchestrator.document.durations import seconds as _seconds

NOTHING: Mapping[str, Json] = {}


def evaluate_at(
    draft: Draft,
    node: Node | None,
    expression: Expression,
    value: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """Evaluate an expression on a value, with the variables of the step. Raises an `expression`
    fault that names the expression's place in the task."""
    names = expression.names
    variables = collect(draft, node, names, extra) if names else {}
    return evaluate(draft, expression, value, variables)


def render(
    draft: Draft,
    node: Node | None,
    template: Template,
    value: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """Evaluate a template on a value. Raises a `validation` fault if the result is larger than a
    task's output may be."""
    if template.plain:
        return template.tree
    filled = template.render(lambda expression: evaluate_at(draft, node, expression, value, extra))
    return filled if template.only_copies else check_size(draft, filled)


def is_true(
    draft: Draft,
    node: Node | None,
    expression: Expression,
    value: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> bool:
    """Whether a condition is true, as in jq: only false and null are not."""
    answer = evaluate_at(draft, node, expression, value, extra)
    return answer is not None and answer is not False


def seconds(value: Json) -> float:
    """Return a duration in seconds. Raises a `validation` fault if the value is no duration."""
    try:
        return _seconds(value)
    except InvalidDuration as error:
        raise dsl_errors.validation(str(error)) from None


def duration_seconds(draft: Draft, node: Node | None, template: Template, value: Json) -> float:
    """Evaluate a duration and return it in seconds."""
    return seconds(render(draft, node, template, value))


def transform_input(draft: Draft, node: Node, plan: Plan, raw: Json) -> None:
    """Steps 3 and 4: validate the raw input, transform it."""
    node.input = raw
    if plan.plain_input:
        return
    if plan.input_schema is not None:
        plan.input_schema.validate(raw, "the task's input", draft.evaluate)
    if plan.input is not None:
        node.input = render(draft, node, plan.input, raw)
        node.raw_input = raw


def transform_output(draft: Draft, node: Node, plan: Plan, raw: Json) -> None:
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
    """Return a value transformed, then validated."""
    value = raw if template is None else render(draft, node, template, raw, extra)
    if schema is not None:
        schema.validate(value, f"the {what}", draft.evaluate)
    return value


def exported(
    draft: Draft,
    node: Node | None,
    template: Template | None,
    schema: Schema | None,
    output: Json,
    extra: Mapping[str, Json] = NOTHING,
) -> Json:
    """Return the new context; without ``as`` the present one."""
    value = draft.root.context
    if template is not None:
        value = render(draft, node, template, output, extra)
    if schema is not None:
        schema.validate(value, "the context", draft.evaluate)
    return value


def workflow_input(draft: Draft, raw: Json) -> Json:
    """Steps 1 and 2: validate the workflow's input, transform it."""
    plan = draft.plan
    if plan.input_schema is not None:
        plan.input_schema.validate(raw, "the workflow's input", draft.evaluate)
    return raw if plan.input is None else render(draft, None, plan.input, raw)


def workflow_output(draft: Draft, raw: Json) -> Json:
    """Steps 10 and 11: transform the workflow's output, validate it."""
    plan = draft.plan
    return transformed(draft, None, plan.output, plan.output_schema, raw, "workflow's output")


def as_program(value: Any, place: str) -> Expression | None:
    """Return the expression of a field that is always an expression; None if it is not set."""
    return Expression(value, place) if isinstance(value, str) else None
