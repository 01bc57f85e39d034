"""JSON in and out: exact for what Python can hold, fast for what is usual.

Integers of any size, floats and text pass exactly; NaN, infinities and half surrogate pairs
are refused with the place where they stand; nesting is bounded.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from orchestrator.errors import OrchestratorError

Json = Any


class NotJson(OrchestratorError):
    """The value cannot be written as JSON, or the text is no JSON."""


_LONG_NUMBER = re.compile(rb"[0-9]{16}")


def encode(value: Json) -> bytes:
    """The JSON text of a value, in UTF-8. Raises `NotJson`."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise NotJson(str(error)) from error


def dumps(value: Json) -> str:
    """The JSON text of a value. Raises `NotJson`."""
    return encode(value).decode()


def loads(text: str | bytes) -> Json:
    """The value of a JSON text. Raises `NotJson`."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        return json.loads(raw) if _LONG_NUMBER.search(raw) else orjson.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
