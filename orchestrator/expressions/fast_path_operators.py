"""jq's operations on values, for the closures of the fast path.

Each function takes or returns a `Code`: `(value, variables) -> result`. It raises `NotOnFastPath`
if jq must decide.
"""

# ruff: noqa: ARG001 - every Code takes both arguments, needed or not

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.expressions.fast_path_values import MAX_EXACT, NotOnFastPath, Operation

Json = Any

Code = Callable[[Json, Mapping[str, Json]], Json]
Step = str | int | Code


def identity(value: Json, variables: Mapping[str, Json]) -> Json:
    """`.`"""
    return value


def constant(result: Json) -> Code:
    """Return the code of a literal."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return result

    run.result = result  # type: ignore[attr-defined]  # `step` reads it
    return run


def variable(name: str) -> Code:
    """`$name`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        if name not in variables:
            raise NotOnFastPath
        return variables[name]

    return run


def step(key: Code) -> Step:
    """Return the key or index between brackets if it is constant, else its code."""
    result = getattr(key, "result", None)
    return result if isinstance(result, str | int) and type(result) is not bool else key


def path(start: Code, steps: Sequence[Step]) -> Code:
    """Return the code of the value at the end of the steps, starting from the result of `start`."""
    if start is identity and all(type(key) is str for key in steps):
        return _fields(steps)

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        result = start(value, variables)
        for key in steps:
            result = _at(result, key(value, variables) if callable(key) else key)
        return result

    return run


def _fields(names: Sequence[Step]) -> Code:
    """Return the code of `.a.b`, the most common path."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        for name in names:
            if type(value) is dict:
                value = value.get(name)
            elif value is not None:
                raise NotOnFastPath
        return value

    return run


def _at(value: Json, key: Json) -> Json:
    kind = type(key)
    if type(value) is dict and kind is str:
        return value.get(key)
    if type(value) is list and kind is int:
        index = key if key >= 0 else key + len(value)
        return value[index] if 0 <= index < len(value) else None
    if value is None and kind in (str, int):
        return None
    raise NotOnFastPath


def pipe(first: Code, second: Code) -> Code:
    """`first | second`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return second(first(value, variables), variables)

    return run


def alternative(first: Code, second: Code) -> Code:
    """`first // second`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        result = first(value, variables)
        return second(value, variables) if result is None or result is False else result

    return run


def either(left: Code, right: Code) -> Code:
    """`left or right`, always true or false."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return _truth(left(value, variables)) or _truth(right(value, variables))

    return run


def both(left: Code, right: Code) -> Code:
    """`left and right`, always true or false."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return _truth(left(value, variables)) and _truth(right(value, variables))

    return run


def negated(value: Json, variables: Mapping[str, Json]) -> Json:
    """`not`"""
    return not _truth(value)


def _truth(value: Json) -> bool:
    return value is not None and value is not False


def length(value: Json, variables: Mapping[str, Json]) -> Json:
    """`length`, of text in code points."""
    if value is None:
        return 0
    if type(value) in (str, list, dict):
        return len(value)
    raise NotOnFastPath


def array(items: Sequence[Code]) -> Code:
    """`[a, b]`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return [item(value, variables) for item in items]

    return run


def object(members: Mapping[str, Code]) -> Code:  # noqa: A001 - jq's word for it
    """`{a: b}`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return {key: member(value, variables) for key, member in members.items()}

    return run


def interpolation(pieces: Sequence[str | Code]) -> Code:
    r"""`"text \(code) text"`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return "".join(
            piece if type(piece) is str else _as_text(piece(value, variables))  # type: ignore[operator]
            for piece in pieces
        )

    return run


def _as_text(value: Json) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if type(value) is int and -MAX_EXACT <= value <= MAX_EXACT:
        return str(value)
    raise NotOnFastPath


def binary(operation: Operation, left: Code, right: Code) -> Code:
    """An operator between two operands."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return operation(left(value, variables), right(value, variables))

    return run
