"""Where expressions stand in a document, and how a value with expressions in it is resolved.

`${ ... }` is an expression only as a whole string; anywhere else it is text. What an
expression yields is data and is never looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.expressions.errors import ExpressionError

Json = Any
Evaluate = Callable[[str, Json, Mapping[str, Json]], Json]
"""`(program, value, variables) -> first result`; see `Evaluator.evaluate`."""


def is_expression(value: object) -> bool:
    """Is this value a string that is, as a whole, one `${ ... }`?"""
    if type(value) is not str or "${" not in value:
        return False
    text = value.strip()
    return text.startswith("${") and text.endswith("}")


def program_of(text: str) -> str:
    """The jq program of an expression: `"${ .a }"` gives `".a"`; bare jq is returned as it is."""
    return text.strip()[2:-1].strip() if is_expression(text) else text.strip()


def resolve(
    value: Json,
    input: Json,
    variables: Mapping[str, Json],
    evaluate: Evaluate,
    place: str = "",
) -> Json:
    """`value` with every expression in it, however deep, replaced by its result on `input`.
    `place` is where the value stands, like `with`: an error says which part of it failed.

    Keys are never expressions. Raises what `evaluate` raises.
    """
    if type(value) is str:
        if not is_expression(value):
            return value
        try:
            return evaluate(program_of(value), input, variables)
        except ExpressionError as error:
            raise type(error)(f"{error} (in {place})" if place else str(error)) from error
    if type(value) is dict:
        return {
            key: resolve(item, input, variables, evaluate, f"{place}.{key}" if place else "")
            for key, item in value.items()
        }
    if type(value) is list:
        return [
            resolve(item, input, variables, evaluate, f"{place}[{index}]" if place else "")
            for index, item in enumerate(value)
        ]
    return value
