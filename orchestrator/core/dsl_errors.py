"""The DSL's errors: Problem Details with a type, a status and the place of origin (dsl.md, Errors;
dsl-reference.md, Standard Error Types; RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from orchestrator.core.model import Json
from orchestrator.errors import ERROR_TYPES

#: The standard types with their default statuses.
STANDARD: Mapping[str, int] = {
    "configuration": 400,
    "validation": 400,
    "expression": 400,
    "authentication": 401,
    "authorization": 403,
    "timeout": 408,
    "communication": 500,
    "runtime": 500,
}

_TITLES: Mapping[str, str] = {
    "configuration": "Configuration Error",
    "validation": "Validation Error",
    "expression": "Expression Error",
    "authentication": "Authentication Error",
    "authorization": "Authorization Error",
    "timeout": "Timeout",
    "communication": "Communication Error",
    "runtime": "Runtime Error",
}

#: The DSL project was renamed: types under both of its hosts are equal.
_HOSTS = frozenset({"serverlessworkflow.io", "open-workflow-specification.org"})

_MEMBERS = ("type", "status", "title", "detail", "instance")


def standard_error(kind: str, detail: str, status: int | None = None) -> dict[str, Json]:
    """Return an error of a standard type."""
    return {
        "type": ERROR_TYPES + kind,
        "status": STANDARD[kind] if status is None else status,
        "title": _TITLES[kind],
        "detail": detail,
    }


class Fault(Exception):
    """A DSL error on its way to its step. It is raised and caught within the core only."""

    def __init__(self, error: dict[str, Json]) -> None:
        super().__init__(error.get("detail") or error.get("title") or error["type"])
        self.error = error


def configuration(detail: str) -> Fault:
    """The fault of a document that cannot be executed as it is."""
    return Fault(standard_error("configuration", detail))


def validation(detail: str) -> Fault:
    """The fault of data in a wrong form."""
    return Fault(standard_error("validation", detail))


def expression(detail: str) -> Fault:
    """The fault of an expression that failed or returned an unusable value."""
    return Fault(standard_error("expression", detail))


def authorization(detail: str) -> Fault:
    """The fault of a missing or forbidden secret (dsl.md, Secret)."""
    return Fault(standard_error("authorization", detail))


def runtime(detail: str) -> Fault:
    """The fault of an error while the workflow ran."""
    return Fault(standard_error("runtime", detail))


def timeout(detail: str) -> dict[str, Json]:
    """Return the error of a timeout (dsl.md, Timeouts)."""
    return standard_error("timeout", detail)


def with_instance(error: Mapping[str, Json], ref: str) -> dict[str, Json]:
    """Return the error with all members that the DSL requires and with its `data` for the handler.
    `instance` is `ref` unless the error has one."""
    full_error: dict[str, Json] = {
        "type": error.get("type") or ERROR_TYPES + "runtime",
        "status": error.get("status") or STANDARD["runtime"],
    }
    for name in ("title", "detail", "data"):
        if error.get(name) is not None:
            full_error[name] = error[name]
    full_error["instance"] = error.get("instance") or ref
    return full_error


def equal_types(expected: str, actual: str) -> bool:
    """Whether two error types are equal: the same text, or both the DSL's (under either of its
    hosts) with the same last segment."""
    if expected == actual:
        return True
    one_url, other_url = urlsplit(expected), urlsplit(actual)
    if one_url.hostname not in _HOSTS or other_url.hostname not in _HOSTS:
        return False
    first, second = (url.path.rstrip("/").rpartition("/")[2] for url in (one_url, other_url))
    return first == second


def matches(filter: Mapping[str, Any], error: Mapping[str, Json]) -> bool:
    """Whether an error matches a ``catch.errors.with`` filter: every member named there must be
    equal (dsl-reference.md, Catch)."""
    for name, expected in filter.items():
        if name not in _MEMBERS:
            continue
        actual = error.get(name)
        if name == "type":
            if not isinstance(actual, str) or not equal_types(str(expected), actual):
                return False
        elif actual != expected:
            return False
    return True
