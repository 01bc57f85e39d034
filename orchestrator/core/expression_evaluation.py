"""Evaluate one expression whose variables are already collected."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import dsl_errors
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.core.payload_size import too_large
from orchestrator.core.transition_draft import Draft
from orchestrator.expressions import ExpressionError


def evaluate(
    draft: Draft, expression: Expression, value: Json, variables: Mapping[str, Json]
) -> Json:
    """Evaluate an expression on a value. Raises an `expression` fault that names the expression's
    place in the task."""
    try:
        return draft.evaluate(expression.program, value, variables)
    except ExpressionError as error:
        where = f" (in {expression.place})" if expression.place else ""
        raise dsl_errors.expression(f"{error}{where}") from error


def check_size(draft: Draft, value: Json) -> Json:
    """Return a value that an expression made. Raises a `validation` fault if it is too large."""
    if fault := too_large(value, draft.limits.payload):
        raise fault
    return value
