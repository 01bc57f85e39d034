"""The types of a task message's fields, as Celery's main process needs them (its message protocol).

Most wrong types raise where Celery uses the field, and the message is dropped there. Those listed
here would do harm later: a time limit is used when the task has begun, an id as a key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu import Message


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_optional_text(value: Any) -> bool:
    return value is None or type(value) is str


def _is_count(value: Any) -> bool:
    return value is None or type(value) is int


def _is_moment(value: Any) -> bool:
    return value is None or type(value) is str or _is_seconds(value)


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_limits(value: Any) -> bool:
    if value is None:
        return True
    if type(value) not in (list, tuple) or len(value) != 2:
        return False
    return all(one is None or (_is_seconds(one) and 0 <= one < 1e9) for one in value)


_HEADERS: Mapping[str, Callable[[Any], bool]] = {
    "task": _is_text,
    "id": _is_text,
    "root_id": _is_optional_text,
    "parent_id": _is_optional_text,
    "shadow": _is_optional_text,
    "eta": _is_moment,
    "expires": _is_moment,
    "retries": _is_count,
    "timelimit": _is_limits,
}


def wrong_part(message: Message) -> str | None:
    """Return which part of a message has a type that would do harm; None: none has.

    A message without the header ``task`` is of protocol 1, whose fields are in its body."""
    headers: Any = message.headers
    if not isinstance(headers, dict):
        return "its headers are no object"
    if "task" not in headers:
        return None
    if "id" not in headers:
        return "it has no id"
    for name, is_right in _HEADERS.items():
        if name in headers and not is_right(headers[name]):
            return f"its header {name} has a wrong type or value"
    return None
