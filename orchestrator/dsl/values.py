"""Values of a document that are not rendered yet: JSON whose leaves may be expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from orchestrator import json_codec
from orchestrator.canvas.shapes import Expr
from orchestrator.dsl import expression_nodes as nodes
from orchestrator.dsl.expression import Expression, node_of

Json = Any

Duration = timedelta | str | Mapping[str, int] | Expression
"""A `timedelta`, ISO 8601 (``"PT15M"``), ``{"minutes": 15}`` or an expression."""


class Inner:
    """What stands in a document as it is: a task."""


_PROGRAM = re.compile(r"\s*\$\{.*\}\s*", re.DOTALL)


def data(value: object) -> Json:
    """Return a value of the user as one of the document.

    Text stays text: only an `Expression` is evaluated, and text like ``${ x }`` is quoted in jq.
    Raises `TypeError` or `NotJson` for what JSON lacks.
    """
    if isinstance(value, Expression | Inner):
        return value
    if isinstance(value, Expr):  # of a task's `compensated_by`
        return Expression(nodes.Raw(value.text))
    if isinstance(value, Mapping):
        return {_name(name): data(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [data(item) for item in value]
    if callable(value) and not isinstance(value, type):
        node_of(value)  # raises: it says that a method was meant
    plain = json_codec.to_json(value)
    if isinstance(plain, str) and _PROGRAM.fullmatch(plain):
        return Expression(nodes.Literal(plain))
    return plain


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"a key is text, not {name!r}")


def condition(value: Expression | bool) -> Json:
    """Return a condition of the document. Raises `TypeError` for a value that is none."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool):
        return Expression(nodes.Literal(value))
    raise TypeError(f"a condition is an expression, not {value!r}; jq is written expr(...)")


def duration(value: Duration) -> Json:
    """Return a duration of the document."""
    if isinstance(value, timedelta):
        return _units(value)
    if isinstance(value, Expression | str):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a duration is a timedelta, 'PT15M', {{'minutes': 15}}, not {value!r}")


def _units(value: timedelta) -> dict[str, int]:
    milliseconds, rest = divmod(value, timedelta(milliseconds=1))
    if value < timedelta(0) or rest:
        raise TypeError(f"a duration has whole milliseconds and is not negative: {value!r}")
    units = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
    parts: dict[str, int] = {}
    for name, size in {**units, "milliseconds": 1}.items():
        parts[name], milliseconds = divmod(milliseconds, size)
    return {name: part for name, part in parts.items() if part} or {"seconds": 0}


def given(**keys: Json) -> dict[str, Json]:
    """Return the keys that are not None, without the underscore that keeps a name off Python's."""
    return {name.rstrip("_"): value for name, value in keys.items() if value is not None}
