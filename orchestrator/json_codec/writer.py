"""Writes Python values as JSON: what may be written, what is refused, and what a task's result
becomes.

Every refusal names the place, as `$.items[0].price`.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from orchestrator.errors import OrchestratorError

Json = Any

#: The deepest nesting of arrays and objects; orjson writes up to 254 levels.
MAX_DEPTH = 250


class NotJson(OrchestratorError):
    """The value or text is not JSON.

    `path` is the place, as `$.items[0].price`, or None for a text that could not be read. `kind`
    is the type of the value there, with its module, or None for such a text.
    """

    def __init__(self, message: str, path: str | None = None, kind: str | None = None) -> None:
        super().__init__(f"{message} at {path}" if path else message)
        self.message = message
        self.path = path
        self.kind = kind


def encode(value: Json) -> bytes:
    """Return the JSON text of a JSON value, in UTF-8. Raises `NotJson`."""
    try:
        raw = orjson.dumps(value)
    except orjson.JSONEncodeError:
        checked = to_json(value)  # raises with the place, except for integers beyond 64 bits
        return json.dumps(checked, ensure_ascii=False, separators=(",", ":")).encode()
    if b"null" in raw:
        _refuse_not_finite(value)  # orjson writes NaN and infinite numbers as null
    return raw


def dumps(value: Json) -> str:
    """Return the JSON text of a JSON value. Raises `NotJson`."""
    return encode(value).decode()


def _refuse_not_finite(value: Json) -> None:
    if _has_not_finite(value):
        to_json(value)


def _has_not_finite(value: Json) -> bool:
    if type(value) is dict:
        return any(_has_not_finite(item) for item in value.values())
    if type(value) is list:
        return any(_has_not_finite(item) for item in value)
    return type(value) is float and not math.isfinite(value)


def to_json(value: object) -> Json:
    """Return what a task returned as JSON.

    Plain values stay; Decimal and UUID become text, dates and times ISO 8601, bytes base64,
    tuples arrays, dataclasses objects, enums their values. As in Celery's own JSON, a `__json__`
    method is called, Django's lazy texts become text, and types registered with kombu are
    encoded by their encoder, without kombu's envelope. Keys that are numbers, booleans or None
    become text, as in the `json` module. Raises `NotJson` with type and path for all else.
    """
    try:
        return _plain(value, MAX_DEPTH)
    except _NotSerializable as refusal:
        path = "$" + "".join(reversed(refusal.path))
        raise NotJson(refusal.message, path, refusal.kind) from None


class _NotSerializable(Exception):
    """A value cannot become JSON. As it is raised, `path` collects the place, last part first."""

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self.message = message
        self.kind = _type_name(value)
        self.path: list[str] = []


_UNCHANGED = frozenset({int, bool, type(None)})


def _plain(value: object, depth: int) -> Json:
    kind = type(value)
    if kind in _UNCHANGED:
        return value
    if isinstance(value, str) and kind is str:
        return value if value.isascii() else _encodable(value)
    if isinstance(value, dict) and kind is dict:
        return _object(value, depth)
    if isinstance(value, list) and kind is list:
        return _array(value, depth)
    if isinstance(value, float) and kind is float:
        return _number(value)
    return _converted(value, depth)


def _object(value: Mapping[Any, object], depth: int) -> Json:
    members: dict[str, Json] = {}
    _descend(depth, value)
    for key, item in value.items():
        try:
            name = key if type(key) is str and key.isascii() else _key(key)
            members[name] = _plain(item, depth - 1)
        except _NotSerializable as refusal:
            refusal.path.append(f".{key}" if str(key).isidentifier() else f"[{str(key)!r:.60}]")
            raise
    return members


def _array(value: list[object] | tuple[object, ...], depth: int) -> Json:
    items: list[Json] = []
    _descend(depth, value)
    for index, item in enumerate(value):
        try:
            items.append(_plain(item, depth - 1))
        except _NotSerializable as refusal:
            refusal.path.append(f"[{index}]")
            raise
    return items


def _descend(depth: int, value: object) -> None:
    if not depth:
        raise _NotSerializable(f"nested deeper than {MAX_DEPTH} levels", value)


def _key(key: object) -> str:
    name = _plain(key, 1)
    if isinstance(name, str):
        return name
    if name is None or isinstance(name, bool | float | int):
        return json.dumps(name)
    raise _NotSerializable(f"a key of type {_type_name(key)}", key)


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise _NotSerializable(f"the number {value}, which JSON cannot say,", value)
    return value


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _NotSerializable("half of a surrogate pair in a text", text) from None
    return text


def _converted(value: object, depth: int) -> Json:
    """Convert less usual types, and types derived from the plain ones."""
    reduced = _reduced(value)
    if reduced is not value:
        _descend(depth, value)
        return _plain(reduced, depth - 1)
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return _object({field.name: getattr(value, field.name) for field in fields}, depth)
    return _derived(value, depth)


_JSON_TYPES = (str, int, float, dict, list, tuple)


def _reduced(value: object) -> object:
    """Return the result of the value's `__json__` method, or the value itself if it has none.

    As in Celery's JSON, types that the `json` module knows are not reduced."""
    if isinstance(value, (*_JSON_TYPES, type)):
        return value
    try:
        reducer = getattr(value, "__json__", None)
        return value if reducer is None else reducer()
    except Exception as error:
        raise _NotSerializable(
            f"a value of type {_type_name(value)}, whose __json__ failed ({error!r}),", value
        ) from error


def _derived(value: object, depth: int) -> Json:
    if isinstance(value, str):
        return _encodable(str.__str__(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, dict):
        return _object(value, depth)
    if isinstance(value, list | tuple):
        return _array(value, depth)
    return _foreign(value, depth)


def _foreign(value: object, depth: int) -> Json:
    """Convert a type that is registered with kombu, or a lazy text of Django.

    Neither library is imported for this: a process that has not loaded them has no such values.
    """
    try:
        django = sys.modules.get("django.utils.functional")
        if django is not None and isinstance(value, django.Promise):
            return _encodable(str(value))
        kombu = sys.modules.get("kombu.utils.json")
        reduced = value if kombu is None else kombu.JSONEncoder().default(value)
    except TypeError:
        reduced = value
    except _NotSerializable:
        raise
    except Exception as error:
        raise _NotSerializable(
            f"a value of type {_type_name(value)}, whose encoder failed ({error!r}),", value
        ) from error
    if reduced is value:
        raise _NotSerializable(
            f"a value of type {_type_name(value)}, which cannot pass as JSON,", value
        )
    if isinstance(reduced, dict) and reduced.keys() == {"__type__", "__value__"}:
        reduced = reduced["__value__"]
    _descend(depth, value)
    return _plain(reduced, depth - 1)


def _type_name(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
