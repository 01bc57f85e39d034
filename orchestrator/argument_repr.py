"""Texts of a step's arguments for display in Flower, worker events and logs.

Messages carry these texts out of the database, so they are bounded and contain no secrets:
arguments that use secrets are shown as unevaluated expressions. A call that is not a Celery task
is shown with its kind, its method and the address without query and user, since its document may
contain credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from celery.utils.saferepr import saferepr

#: Largest number of characters of each text, the same as Celery's.
MAX_LENGTH = 1024

#: Largest number of arguments that are checked for the fast path of `value_repr`.
MAX_SIMPLE_ITEMS = 32

_SCALARS = frozenset((int, float, bool, type(None)))


def arguments_repr(call: Mapping[str, Any]) -> tuple[str, str]:
    """Return ``argsrepr`` and ``kwargsrepr`` of a step's call (`Step.call`), without secrets."""
    if call.get("kind") != "celery":
        return value_repr([]), value_repr(_displayed_call(call))
    if call.get("deferred"):
        stored = call.get("with") or {}
        if not call.get("explicit"):
            return value_repr([]), value_repr(stored)
        call = stored
    return value_repr(call.get("args") or []), value_repr(call.get("kwargs") or {})


def value_repr(value: Any) -> str:
    """Return a value's text as Celery does: Python's notation, cut at `MAX_LENGTH`."""
    if not value:
        return repr(value)
    if _is_small_and_flat(value):  # `saferepr` takes ten times as long
        text = repr(value)
        if len(text) <= MAX_LENGTH:
            return text
    return str(saferepr(value, maxlen=MAX_LENGTH))


def _is_small_and_flat(value: Any) -> bool:
    """Return whether the value has only a few scalars, so that `repr` is fast."""
    if type(value) not in (dict, list) or len(value) > MAX_SIMPLE_ITEMS:
        return False
    for item in value.values() if type(value) is dict else value:
        if type(item) not in _SCALARS and (type(item) is not str or len(item) > MAX_LENGTH):
            return False
    return True


def _displayed_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call.get("with")
    displayed: dict[str, Any] = {"call": call.get("kind")}
    if not isinstance(arguments, Mapping):
        return displayed
    for name in ("method", "operationId"):
        if isinstance(arguments.get(name), str):
            displayed[name] = arguments[name]
    endpoint = arguments.get("endpoint")
    uri = endpoint.get("uri") if isinstance(endpoint, Mapping) else endpoint
    if isinstance(uri, str):
        displayed["endpoint"] = _without_credentials(uri)
    return displayed


def _without_credentials(uri: str) -> str:
    """Return an address without user, password, query and fragment."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "..."
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
