"""Recognises expressions in a document and resolves values that contain them.

`${ ... }` is an expression only as a whole text; elsewhere it is literal. The result of an
expression is data and is not examined again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.expressions.errors import ExpressionError

Json = Any
Evaluate = Callable[[str, Json, Mapping[str, Json]], Json]
"""`(program, value, variables) -> first result`; see `Evaluator.evaluate`."""


def is_expression(value: object) -> bool:
    """Whether the value is a text that is, as a whole, one `${ ... }`."""
    if type(value) is not str or "${" not in value:
        return False
    text = value.strip()
    return text.startswith("${") and text.endswith("}")


def program_of(text: str) -> str:
    """Return the jq program of an expression: `"${ .a }"` gives `".a"`; bare jq is returned
    unchanged."""
    return text.strip()[2:-1].strip() if is_expression(text) else text.strip()


def resolve(
    value: Json,
    input: Json,
    variables: Mapping[str, Json],
    evaluate: Evaluate,
    path: str = "",
) -> Json:
    """Return `value` with every expression in it replaced by its result on `input`. `path` is the
    value's position, like `with`: errors name the failed part.

    Keys are never expressions. Raises what `evaluate` raises.
    """
    if type(value) is str:
        if not is_expression(value):
            return value
        try:
            return evaluate(program_of(value), input, variables)
        except ExpressionError as error:
            raise type(error)(f"{error} (in {path})" if path else str(error)) from error
    if type(value) is dict:
        return {
            key: resolve(item, input, variables, evaluate, f"{path}.{key}" if path else "")
            for key, item in value.items()
        }
    if type(value) is list:
        return [
            resolve(item, input, variables, evaluate, f"{path}[{index}]" if path else "")
            for index, item in enumerate(value)
        ]
    return value
