"""Exceptions of tasks as JSON, and built again from it.

    record(CardDeclined("empty"))
    {"module": "shop.errors", "name": "CardDeclined", "args": ["empty"]}

Steps of canvases keep a record beside their error, so that the program that waits for a canvas gets
the class that the task has raised, as from Celery's result store.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from orchestrator import json_codec
from orchestrator.json_codec import celery_values

#: Largest arguments of an exception, in bytes of JSON; larger ones are kept as their texts, cut.
ARGUMENTS_LIMIT = 8 * 1024
_TEXT_LIMIT = 1024


def record(exc: BaseException) -> dict[str, Any]:
    """Return the class and the arguments of an exception."""
    kind = type(exc)
    return {
        "module": kind.__module__,
        "name": kind.__qualname__,
        "args": [_argument(value) for value in exc.args],
    }


def rebuild(recorded: Mapping[str, Any]) -> BaseException | None:
    """Return the exception of a record; None if its class can't be imported or refuses the
    arguments."""
    kind = _class(str(recorded.get("module")), str(recorded.get("name")))
    if kind is None:
        return None
    try:
        return kind(*celery_values.decode(recorded.get("args") or []))
    except Exception:  # noqa: BLE001  the class is the user's
        return None


def _argument(value: Any) -> Any:
    try:
        encoded = celery_values.encode(value)
        if len(json_codec.encode(encoded)) <= ARGUMENTS_LIMIT:
            return encoded
    except json_codec.NotJson:
        pass
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  the value is the user's
        text = f"<{type(value).__name__}>"
    return text[:_TEXT_LIMIT].encode("utf-8", "backslashreplace").decode()


def _class(module: str, name: str) -> type[BaseException] | None:
    try:
        found: Any = sys.modules.get(module) or import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:  # noqa: BLE001  a module of the user's may raise anything
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
