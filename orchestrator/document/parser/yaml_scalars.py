"""The meaning of YAML scalars: the core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3.2).

Only JSON types are returned. `on`, `yes` and dates are texts; `.inf` and `.nan` have no JSON form
and are refused.
"""

from __future__ import annotations

import math
import re

from orchestrator.document.parser.bounds import MAX_DIGITS

Scalar = None | bool | int | float | str

TAG = "tag:yaml.org,2002:"
MERGE = "<<"

_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST = frozenset("-+.0123456789")  # how a number can begin
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class InvalidScalar(ValueError):
    """The text is not valid for its type."""


def plain(text: str) -> Scalar:
    """Return the value of a scalar without quotes and tag. Raise `InvalidScalar`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    if _INTEGER.fullmatch(text):
        return integer(text)
    if _BASED.fullmatch(text):
        return _check_digits(int(text[2:], 8 if text[1] == "o" else 16))
    if _FLOAT.fullmatch(text):
        return decimal(text)
    if _NOT_FINITE.fullmatch(text):
        raise InvalidScalar(f"{text} is not a number in JSON")
    return text


def integer(text: str) -> int:
    """Return a decimal integer. Raise `InvalidScalar` if it has more digits than the bound."""
    if len(text) > MAX_DIGITS:
        raise InvalidScalar(f"the integer has more than {MAX_DIGITS} digits")
    return int(text)


def decimal(text: str) -> float:
    """Return a floating-point number. Raise `InvalidScalar` if it is too large."""
    value = float(text)
    if math.isinf(value):
        raise InvalidScalar(f"{_short(text)} is too large for a number")
    return value


def tagged(text: str, tag: str) -> Scalar:
    """Return the value of a scalar with an explicit tag. Raise `InvalidScalar`."""
    if tag in ("!", TAG + "str"):
        return text
    name = tag.removeprefix(TAG)
    value = plain(text)
    if name == "float" and type(value) is int:
        return decimal(text)
    expected = {"null": type(None), "bool": bool, "int": int, "float": float}
    if name not in expected or not tag.startswith(TAG):
        raise InvalidScalar(f"unknown tag {display_tag(tag)}")
    if type(value) is not expected[name]:
        raise InvalidScalar(f"{_short(text)!r} is not what its tag {display_tag(tag)} says")
    return value


def display_tag(tag: str) -> str:
    """Return a tag in the short form that authors write."""
    short = "!!" + tag.removeprefix(TAG) if tag.startswith(TAG) else tag
    return _short(short)


def _check_digits(value: int) -> int:
    # Compare the number of bits instead of counting the decimal digits: this check must avoid the
    # conversion to decimal, which takes long for a large integer.
    if value.bit_length() > MAX_DIGITS * 10 // 3:
        raise InvalidScalar(f"the integer has more than {MAX_DIGITS} digits")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."
