"""JSON read strictly: what two readers could understand differently is refused.

Python's own reader takes the last of several equal keys, knows NaN, and lets numbers become
infinite; RFC 8259 calls the first unpredictable and forbids the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.json_codec import Json

#: How deep arrays and objects may be nested. Far below Python's own limit of recursion, so
#: that whatever is taken can also be written and evaluated.
MAX_DEPTH = 200
#: The digits of an integer; Python itself stops at 4,300.
MAX_DIGITS = 1000
#: Members of a body (or of its items, where it is an array) that are values of workflows. These
#: may hold the character NUL, as outputs of steps may; texts that become columns may not.
PAYLOADS = frozenset({"data", "input", "output"})

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


class MalformedJson(OrchestratorError):
    """The text is not JSON, or not JSON that everybody reads alike."""


class ForbiddenText(OrchestratorError):
    """A string has a character that cannot be stored: half of a surrogate pair, or NUL outside
    the values of workflows."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


def loads(body: bytes, *, payload: bool = False) -> Json:
    """The value of a JSON text in UTF-8. `payload`: all of it is a value of workflows.

    Raises:
        MalformedJson: it cannot be read, repeats a key, has NaN or an infinite number, is
            nested more than `MAX_DEPTH` deep, or has an integer beyond `MAX_DIGITS`.
        ForbiddenText: one of its strings cannot be stored.
    """
    try:
        value = _decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise MalformedJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"{error.msg} at {place}") from None
    except RecursionError:
        raise MalformedJson(f"nested more than {MAX_DEPTH} deep") from None
    # Both checks walk the value, so they are made only where the text could fail them.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _SUSPECT.search(body):
        _check_text(value, "", payload)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise MalformedJson(f"the key {twice[:100]!r} stands twice in one object")
    return found


def _constant(name: str) -> None:
    raise MalformedJson(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise MalformedJson(f"an integer of {len(digits)} digits")
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if number - number != 0:  # infinite
        raise MalformedJson(f"the number {text[:100]} is out of range")
    return number


_decode: Callable[[str], Json] = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_constant,
    parse_int=_integer,
    parse_float=_number,
).decode


def _check_depth(value: Json) -> None:
    level, depth = [value], 0
    while level:
        level = [child for item in level for child in _children(item)]
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise MalformedJson(f"nested more than {MAX_DEPTH} deep")


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


_TOP = re.compile(r"(/[0-9]+)?")


def _check_text(value: Json, pointer: str, payload: bool) -> None:
    if isinstance(value, str):
        _check_string(value, pointer, payload)
    elif isinstance(value, dict):
        top = not payload and _TOP.fullmatch(pointer) is not None
        for key, item in value.items():
            _check_string(key, pointer, payload)
            at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            _check_text(item, at, payload or (top and key in PAYLOADS))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_text(item, f"{pointer}/{index}", payload)


def _check_string(text: str, pointer: str, payload: bool) -> None:
    if not payload and "\0" in text:
        raise ForbiddenText(pointer, "a string has the character NUL")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ForbiddenText(pointer, "a string has half of a surrogate pair") from None
