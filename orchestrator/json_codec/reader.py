"""Reads JSON texts: `loads` for what the orchestrator or a called service wrote,
`loads_strict` for the bodies of requests.

Both refuse NaN and infinite numbers, which RFC 8259 forbids. `loads_strict` also refuses what
two readers could understand differently, such as an object that repeats a key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from orchestrator.json_codec.writer import MAX_DEPTH, Json, NotJson, to_json

#: The deepest nesting of arrays and objects in a request. It is far below Python's recursion
#: limit, so that every accepted value can also be written and evaluated.
MAX_REQUEST_DEPTH = 200
#: The most digits of an integer in a request; Python itself stops at 4,300.
MAX_DIGITS = 1000
#: Members of a body (or of its items, where it is an array) that are values of workflows. These
#: may contain the character NUL, as outputs of steps may; texts that become columns may not.
PAYLOADS = frozenset({"data", "input", "output"})

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ITEM = re.compile(r"(/[0-9]+)?")


class ForbiddenText(NotJson):
    """A string of a request has a character that cannot be stored.

    This is half of a surrogate pair, or NUL outside the values of workflows. `pointer` is the
    string's JSON pointer (RFC 6901).
    """

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


def loads(text: str | bytes) -> Json:
    """Return the value of a JSON text. Of a repeated key the last value counts.

    Raises `NotJson`, also for a text that is nested too deeply.
    """
    raw = text if isinstance(text, bytes) else _utf8(text)
    try:
        if _LONG_NUMBER.search(raw):  # orjson would turn long integers into floats
            return to_json(json.loads(raw, parse_float=_finite, parse_constant=_refuse_constant))
        value = orjson.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _refuse_too_deep(value)
    return value


def loads_strict(body: bytes, *, payload: bool = False) -> Json:
    """Return the value of a request's JSON text in UTF-8.

    `payload`: all of it is a value of workflows, such as the data of an event.

    Raises:
        NotJson: it cannot be read, repeats a key, has NaN or an infinite number, is nested
            more than `MAX_REQUEST_DEPTH` deep, or has an integer beyond `MAX_DIGITS`.
        ForbiddenText: one of its strings cannot be stored.
    """
    try:
        value = _decode_strict(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NotJson(f"{error.msg} at {place}") from None
    except RecursionError:
        raise NotJson(f"nested more than {MAX_REQUEST_DEPTH} deep") from None
    # Run each check only if the JSON text may fail it, because a check visits every value.
    if body.count(b"[") + body.count(b"{") > MAX_REQUEST_DEPTH:
        _check_request_depth(value)
    if _SUSPECT.search(body):
        _check_text(value, "", payload)
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise NotJson("the text holds half of a surrogate pair") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson(f"the number {text[:100]} is out of range")
    return number


def _refuse_constant(text: str) -> float:
    raise NotJson(f"{text} is not JSON")


def _bounded_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise NotJson(f"an integer of {len(digits)} digits")
    return int(digits)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise NotJson(f"the key {repeated[:100]!r} is repeated in one object")
    return members


_decode_strict: Callable[[str], Json] = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_constant=_refuse_constant,
    parse_int=_bounded_integer,
    parse_float=_finite,
).decode


def _refuse_too_deep(value: Json) -> None:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise NotJson(f"the JSON is nested deeper than {MAX_DEPTH} levels") from error


def _check_request_depth(value: Json) -> None:
    level, depth = [value], 0
    while level:
        level = [child for item in level for child in _children(item)]
        depth += 1
        if depth > MAX_REQUEST_DEPTH + 1:
            raise NotJson(f"nested more than {MAX_REQUEST_DEPTH} deep")


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_text(value: Json, pointer: str, payload: bool) -> None:
    if isinstance(value, str):
        _check_string(value, pointer, payload)
    elif isinstance(value, dict):
        is_item = not payload and _ITEM.fullmatch(pointer) is not None
        for key, item in value.items():
            _check_string(key, pointer, payload)
            at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            _check_text(item, at, payload or (is_item and key in PAYLOADS))
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
