"""JSON in and out: exact for what Python can hold, fast for what is usual.

`encode` and `loads` are for values that are JSON already: integers of any size pass exactly,
NaN, infinities and half surrogate pairs are refused. `to_json` makes JSON of what a task
returns (DESIGN, Values). Every refusal names the place, as `$.items[0].price`.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
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

MAX_DEPTH = 250  # arrays and objects within each other; orjson writes 254


class NotJson(OrchestratorError):
    """The value is not JSON.

    `path` is where, as `$.items[0].price`, or None for a text that could not be read. `kind` is
    the type of the value there, with its module, or None for such a text.
    """

    def __init__(self, message: str, path: str | None = None, kind: str | None = None) -> None:
        super().__init__(f"{message} at {path}" if path else message)
        self.message = message
        self.path = path
        self.kind = kind


def encode(value: Json) -> bytes:
    """The JSON text of a JSON value, in UTF-8. Raises `NotJson`."""
    try:
        raw = orjson.dumps(value)
    except orjson.JSONEncodeError:
        checked = to_json(value)  # names what is wrong; what is left are long integers
        return json.dumps(checked, ensure_ascii=False, separators=(",", ":")).encode()
    if b"null" in raw:
        _refuse_not_finite(value)  # which orjson writes as null
    return raw


def dumps(value: Json) -> str:
    """The JSON text of a JSON value. Raises `NotJson`."""
    return encode(value).decode()


_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def loads(text: str | bytes) -> Json:
    """The value of a JSON text. Raises `NotJson`, also for what is nested too deep.

    Of a key that stands twice in an object the last one counts.
    """
    raw = text if isinstance(text, bytes) else _utf8(text)
    try:
        if _LONG_NUMBER.search(raw):
            return to_json(_long_loads(raw))
        value = orjson.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _refuse_too_deep(value)
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise NotJson("the text holds half of a surrogate pair") from error


def _long_loads(raw: bytes) -> Json:
    """For integers that orjson would turn into floats."""
    return json.loads(raw, parse_float=_finite, parse_constant=_no_constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _refuse_not_finite(value: Json) -> None:
    if _holds_not_finite(value):
        to_json(value)


def _holds_not_finite(value: Json) -> bool:
    if type(value) is dict:
        return any(_holds_not_finite(item) for item in value.values())
    if type(value) is list:
        return any(_holds_not_finite(item) for item in value)
    return type(value) is float and not math.isfinite(value)


def _refuse_too_deep(value: Json) -> None:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise NotJson(f"the JSON is nested deeper than {MAX_DEPTH} levels") from error


def to_json(value: object) -> Json:
    """What a task returned, as JSON: plain values as they are, Decimal and UUID as text, dates
    and times in ISO 8601, bytes in base64, tuples as arrays, dataclasses as objects, enums by
    value. Further what Celery's own JSON takes: the result of a `__json__` method, lazy texts of
    Django as text, types that were registered with kombu as their encoder has it (without its
    envelope). Keys that are numbers, booleans or None become text, as the `json` module has it.

    Raises `NotJson` with type and path for everything else.
    """
    try:
        return _plain(value, MAX_DEPTH)
    except _NotSerializable as unfit:
        path = "$" + "".join(reversed(unfit.path))
        raise NotJson(unfit.message, path, unfit.kind) from None


class _NotSerializable(Exception):
    """On its way up, the path to the value is put together, the last part first."""

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self.message = message
        self.kind = _named(value)
        self.path: list[str] = []


_AS_THEY_ARE = frozenset({int, bool, type(None)})


def _plain(value: object, depth: int) -> Json:
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if isinstance(value, str) and kind is str:
        return value if value.isascii() else _whole(value)
    if isinstance(value, dict) and kind is dict:
        return _object(value, depth)
    if isinstance(value, list) and kind is list:
        return _array(value, depth)
    if isinstance(value, float) and kind is float:
        return _number(value)
    return _converted(value, depth)


def _object(value: Mapping[Any, object], depth: int) -> Json:
    found: dict[str, Json] = {}
    _descend(depth, value)
    for key, item in value.items():
        try:
            name = key if type(key) is str and key.isascii() else _key(key)
            found[name] = _plain(item, depth - 1)
        except _NotSerializable as unfit:
            unfit.path.append(f".{key}" if str(key).isidentifier() else f"[{str(key)!r:.60}]")
            raise
    return found


def _array(value: list[object] | tuple[object, ...], depth: int) -> Json:
    found: list[Json] = []
    _descend(depth, value)
    for index, item in enumerate(value):
        try:
            found.append(_plain(item, depth - 1))
        except _NotSerializable as unfit:
            unfit.path.append(f"[{index}]")
            raise
    return found


def _descend(depth: int, value: object) -> None:
    if not depth:
        raise _NotSerializable(f"nested deeper than {MAX_DEPTH} levels", value)


def _key(key: object) -> str:
    name = _plain(key, 1)
    if isinstance(name, str):
        return name
    if name is None or isinstance(name, bool | float | int):
        return json.dumps(name)
    raise _NotSerializable(f"a key of type {_named(key)}", key)


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise _NotSerializable(f"the number {value}, which JSON cannot say,", value)
    return value


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _NotSerializable("half of a surrogate pair in a text", text) from None
    return text


def _converted(value: object, depth: int) -> Json:
    """The rarer types, and those derived from the plain ones."""
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


_JSON_ALREADY = (str, int, float, dict, list, tuple)


def _reduced(value: object) -> object:
    """What users' code makes of a value for Celery's JSON; the value itself where nothing does.
    As there, it is not asked of what the `json` module knows."""
    if isinstance(value, (*_JSON_ALREADY, type)):
        return value
    try:
        reducer = getattr(value, "__json__", None)
        return value if reducer is None else reducer()
    except Exception as error:
        raise _NotSerializable(
            f"a value of type {_named(value)}, whose __json__ failed ({error!r}),", value
        ) from error


def _derived(value: object, depth: int) -> Json:
    if isinstance(value, str):
        return _whole(str.__str__(value))
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
    """Types that other libraries have told kombu or Django of. Neither is loaded for this: a
    process without them has no such values."""
    try:
        django = sys.modules.get("django.utils.functional")
        if django is not None and isinstance(value, django.Promise):
            return _whole(str(value))
        kombu = sys.modules.get("kombu.utils.json")
        reduced = value if kombu is None else kombu.JSONEncoder().default(value)
    except TypeError:
        reduced = value
    except _NotSerializable:
        raise
    except Exception as error:
        raise _NotSerializable(
            f"a value of type {_named(value)}, whose encoder failed ({error!r}),", value
        ) from error
    if reduced is value:
        raise _NotSerializable(
            f"a value of type {_named(value)}, which cannot pass as JSON,", value
        )
    if isinstance(reduced, dict) and reduced.keys() == {"__type__", "__value__"}:
        reduced = reduced["__value__"]
    _descend(depth, value)
    return _plain(reduced, depth - 1)


def _named(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
