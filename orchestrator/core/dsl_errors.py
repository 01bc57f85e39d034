"""Errors as the DSL has them: Problem Details with a type, a status and the place of origin
(dsl.md, Errors; dsl-reference.md, Standard Error Types; RFC 9457)."""

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

#: The project was renamed: types under both of its hosts mean the same.
_HOSTS = frozenset({"serverlessworkflow.io", "open-workflow-specification.org"})

_MEMBERS = ("type", "status", "title", "detail", "instance")


def standard_error(kind: str, detail: str, status: int | None = None) -> dict[str, Json]:
    """An error of a standard type."""
    return {
        "type": ERROR_TYPES + kind,
        "status": STANDARD[kind] if status is None else status,
        "title": _TITLES[kind],
        "detail": detail,
    }


class Fault(Exception):
    """A DSL error on its way to the step that it belongs to. Raised within the core only,
    and always caught there."""

    def __init__(self, error: dict[str, Json]) -> None:
        super().__init__(error.get("detail") or error.get("title") or error["type"])
        self.error = error


def configuration(detail: str) -> Fault:
    """The document asks for what cannot be."""
    return Fault(standard_error("configuration", detail))


def validation(detail: str) -> Fault:
    """Data does not have the form that it must have."""
    return Fault(standard_error("validation", detail))


def expression(detail: str) -> Fault:
    """An expression failed, or yielded what cannot be used there."""
    return Fault(standard_error("expression", detail))


def authorization(detail: str) -> Fault:
    """A secret is missing or not for this workflow (dsl.md, Secret)."""
    return Fault(standard_error("authorization", detail))


def runtime(detail: str) -> Fault:
    """Something went wrong while the workflow ran."""
    return Fault(standard_error("runtime", detail))


def timeout(detail: str) -> dict[str, Json]:
    """The error of a timeout (dsl.md, Timeouts)."""
    return standard_error("timeout", detail)


def with_instance(error: Mapping[str, Json], ref: str) -> dict[str, Json]:
    """The error with the members that the DSL asks for, `instance` being `ref` unless it
    says where it comes from, and with the `data` that it brings for whoever catches it."""
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
    """Whether two error types mean the same: equal, or of the DSL's own (under either of its
    hosts) with the same last segment."""
    if expected == actual:
        return True
    ours, theirs = urlsplit(expected), urlsplit(actual)
    if ours.hostname not in _HOSTS or theirs.hostname not in _HOSTS:
        return False
    return ours.path.rstrip("/").rpartition("/")[2] == theirs.path.rstrip("/").rpartition("/")[2]


def matches(filter: Mapping[str, Any], error: Mapping[str, Json]) -> bool:
    """Whether an error passes a ``catch.errors.with`` filter: every member named there must
    be the error's (dsl-reference.md, Catch)."""
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
