"""jq's arithmetic and comparisons, for the values on which Python agrees with jq.

Each function raises `NotOnFastPath` if jq must decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = Any

Operation = Callable[[Json, Json], Json]

MAX_EXACT = 2**53  # up to here, integers are the same to jq (a double) and to Python


class NotOnFastPath(Exception):
    """The fast path cannot decide; jq must evaluate the program."""


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
    """`/` of numbers; by zero is an error, which only jq reports."""
    divisor = _number(right)
    if not divisor:
        raise NotOnFastPath
    return _normalized(_number(left) / divisor)


def _number(value: Json) -> int | float:
    if type(value) is float or (type(value) is int and -MAX_EXACT <= value <= MAX_EXACT):
        return value
    raise NotOnFastPath


def _normalized(value: float) -> int | float:
    """A computed number as jq writes it: without a fraction it is an integer."""
    if not -MAX_EXACT <= value <= MAX_EXACT:
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
