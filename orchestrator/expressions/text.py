"""Where expressions stand in a document, and how a value with expressions in it is resolved.

`${ ... }` is an expression only as a whole string; anywhere else it is text. What an
expression yields is data and is never looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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


def resolve(value: Json, input: Json, variables: Mapping[str, Json], evaluate: Evaluate) -> Json:
    """`value` with every expression in it, however deep, replaced by its result on `input`.

    Keys are never expressions. Raises what `evaluate` raises.
    """
    if type(value) is str:
        return evaluate(program_of(value), input, variables) if is_expression(value) else value
    if type(value) is dict:
        return {key: resolve(item, input, variables, evaluate) for key, item in value.items()}
    if type(value) is list:
        return [resolve(item, input, variables, evaluate) for item in value]
    return value
