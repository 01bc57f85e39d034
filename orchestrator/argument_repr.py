"""How a step's arguments look to people: in Flower, in worker events, in logs.

They leave the database by the message, so they are bounded, and hold no secret: arguments that
use secrets are not evaluated before the claim, and are shown as the expressions that they are.
Of a call that is not a Celery task only the kind, the method and the bare address are shown,
for its document may say how it is authorized.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from celery.utils.saferepr import saferepr

#: Characters of either of the two texts, as Celery itself bounds them.
SIZE = 1024

#: Arguments of so many parts are looked at one by one.
MANY = 32

_SCALARS = frozenset((int, float, bool, type(None)))


def arguments_repr(call: Mapping[str, Any]) -> tuple[str, str]:
    """``argsrepr`` and ``kwargsrepr`` of a step's call (`Step.call`), its secrets apart."""
    if call.get("kind") != "celery":
        return value_repr([]), value_repr(_of_other(call))
    if call.get("deferred"):
        given = call.get("with") or {}
        if not call.get("explicit"):
            return value_repr([]), value_repr(given)
        call = given
    return value_repr(call.get("args") or []), value_repr(call.get("kwargs") or {})


def value_repr(value: Any) -> str:
    """A value as Celery shows it: Python's notation, cut where it gets long."""
    if not value:
        return repr(value)
    if _is_simple(value):  # the way through `saferepr` is ten times as long
        text = repr(value)
        if len(text) <= SIZE:
            return text
    return str(saferepr(value, maxlen=SIZE))


def _is_simple(value: Any) -> bool:
    """Whether it holds nothing but a few scalars, so that `repr` is not long in saying it."""
    if type(value) not in (dict, list) or len(value) > MANY:
        return False
    for one in value.values() if type(value) is dict else value:
        if type(one) not in _SCALARS and (type(one) is not str or len(one) > SIZE):
            return False
    return True


def _of_other(call: Mapping[str, Any]) -> dict[str, Any]:
    given = call.get("with")
    found: dict[str, Any] = {"call": call.get("kind")}
    if not isinstance(given, Mapping):
        return found
    for name in ("method", "operationId"):
        if isinstance(given.get(name), str):
            found[name] = given[name]
    endpoint = given.get("endpoint")
    uri = endpoint.get("uri") if isinstance(endpoint, Mapping) else endpoint
    if isinstance(uri, str):
        found["endpoint"] = _bare(uri)
    return found


def _bare(uri: str) -> str:
    """An address without who asks and what for."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "..."
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
