"""The DSL errors of calls (dsl-reference.md, Standard Error Types)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from orchestrator.errors import ERROR_TYPES, WorkflowError


def communication(status: int, detail: str, data: Any = None) -> WorkflowError:
    """Return the error of a failed exchange. `status` is the response's own, 503 without a
    response, 502 for a response that cannot be read. `data` is the response, for a `catch`."""
    kind = ERROR_TYPES + "communication"
    return WorkflowError(kind, status, _title(status), detail, data=data)


def timeout(detail: str) -> WorkflowError:
    """Return the error of a call without a response in time."""
    return WorkflowError(ERROR_TYPES + "timeout", 408, "Request Timeout", detail)


def configuration(detail: str) -> WorkflowError:
    """Return the error of a call whose set-up, or a part that it refers to, is invalid."""
    return WorkflowError(ERROR_TYPES + "configuration", 400, "Invalid configuration", detail)


def validation(detail: str) -> WorkflowError:
    """Return the error of invalid arguments."""
    return WorkflowError(ERROR_TYPES + "validation", 400, "Invalid arguments", detail)


def expression(detail: str) -> WorkflowError:
    """Return the error of an expression or a URI template that cannot be evaluated."""
    return WorkflowError(ERROR_TYPES + "expression", 400, "Expression error", detail)


def authentication(detail: str) -> WorkflowError:
    """Return the error of a call that cannot authenticate: no token was issued."""
    return WorkflowError(ERROR_TYPES + "authentication", 401, "Unauthorized", detail)


def authorization(detail: str) -> WorkflowError:
    """Return the error of a call that the workflow may not make: a forbidden address or secret."""
    return WorkflowError(ERROR_TYPES + "authorization", 403, "Forbidden", detail)


def runtime(detail: str, data: Any = None) -> WorkflowError:
    """Return the error of a process that failed. `data` is what it returned, for a `catch`."""
    return WorkflowError(ERROR_TYPES + "runtime", 500, "Runtime Error", detail, data=data)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Communication error"
