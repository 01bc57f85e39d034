"""What the fast path's closures do: jq's operations on the values where Python agrees with it.

Each function takes or returns a `Code`: `(value, variables) -> result`. `NotOnFastPath` says that
jq must decide.
"""

# ruff: noqa: ARG001 - every Code takes both arguments, needed or not

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = Any
Code = Callable[[Json, Mapping[str, Json]], Json]
Operation = Callable[[Json, Json], Json]
Step = str | int | Code

_EXACT = 2**53  # up to here, integers are the same to jq (a double) and to Python


class NotOnFastPath(Exception):
    """Not for the fast path after all."""


def identity(value: Json, variables: Mapping[str, Json]) -> Json:
    """`.`"""
    return value


def constant(result: Json) -> Code:
    """A literal."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return result

    run.result = result  # type: ignore[attr-defined]  # lets `step` see through it
    return run


def variable(name: str) -> Code:
    """`$name`"""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        if name not in variables:
            raise NotOnFastPath
        return variables[name]

    return run


def step(key: Code) -> Step:
    """The key or index between brackets: a constant, or what must be computed."""
    result = getattr(key, "result", None)
    return result if isinstance(result, str | int) and type(result) is not bool else key


def path(start: Code, steps: Sequence[Step]) -> Code:
    """What stands at the end of the steps, from what `start` yields."""
    if start is identity and all(type(key) is str for key in steps):
        return _fields(steps)

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        found = start(value, variables)
        for key in steps:
            found = _at(found, key(value, variables) if callable(key) else key)
        return found

    return run


def _fields(names: Sequence[Step]) -> Code:
    """The commonest path, `.a.b`."""

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
    if type(value) is int and -_EXACT <= value <= _EXACT:
        return str(value)
    raise NotOnFastPath


def binary(operation: Operation, left: Code, right: Code) -> Code:
    """An operator between two operands."""

    def run(value: Json, variables: Mapping[str, Json]) -> Json:
        return operation(left(value, variables), right(value, variables))

    return run


def add(left: Json, right: Json) -> Json:
    """`+`: of numbers, text, arrays and objects; null adds nothing."""
    if left is None:
        return right
    if right is None:
        return left
    if type(left) is type(right) and type(left) in (str, list):
        return left + right
    if type(left) is dict and type(right) is dict:
        return {**left, **right}
    return _normalized(_number(left) + _number(right))


def subtract(left: Json, right: Json) -> Json:
    """`-` of numbers."""
    return _normalized(_number(left) - _number(right))


def multiply(left: Json, right: Json) -> Json:
    """`*` of numbers."""
    return _normalized(_number(left) * _number(right))


def divide(left: Json, right: Json) -> Json:
    """`/` of numbers; by zero is an error, jq's to tell."""
    divisor = _number(right)
    if not divisor:
        raise NotOnFastPath
    return _normalized(_number(left) / divisor)


def _number(value: Json) -> int | float:
    if type(value) is float or (type(value) is int and -_EXACT <= value <= _EXACT):
        return value
    raise NotOnFastPath


def _normalized(value: float) -> int | float:
    """A computed number as jq writes it: without a fraction it is an integer."""
    if not -_EXACT <= value <= _EXACT:
        raise NotOnFastPath
    return int(value) if type(value) is float and value.is_integer() else value


def equal(left: Json, right: Json) -> bool:
    """`==` of scalars: true is not 1."""
    kind, other = type(left), type(right)
    if kind in _STRUCTURES or other in _STRUCTURES:
        raise NotOnFastPath
    if kind in _NUMBERS and other in _NUMBERS:
        return _number(left) == _number(right)
    return kind is other and bool(left == right)


def unequal(left: Json, right: Json) -> bool:
    """`!=` of scalars."""
    return not equal(left, right)


def less(left: Json, right: Json) -> bool:
    """`<` of two numbers or two texts; jq orders everything, by rules of its own."""
    _comparable(left, right)
    return bool(left < right)


def greater(left: Json, right: Json) -> bool:
    """`>`"""
    return less(right, left)


def at_most(left: Json, right: Json) -> bool:
    """`<=`"""
    return not less(right, left)


def at_least(left: Json, right: Json) -> bool:
    """`>=`"""
    return not less(left, right)


def _comparable(left: Json, right: Json) -> None:
    if type(left) is str and type(right) is str:
        return
    _number(left)
    _number(right)


_NUMBERS = (int, float)
_STRUCTURES = (list, dict)
