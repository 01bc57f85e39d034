"""The DSL errors of calls (dsl-reference.md, Standard Error Types)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from orchestrator.errors import ERROR_TYPES, WorkflowError


def communication(status: int, detail: str, data: Any = None) -> WorkflowError:
    """The other side failed: `status` is the response's own, 503 where there was none, 502
    where it made no sense. `data` is what it said, for whoever catches the error."""
    kind = ERROR_TYPES + "communication"
    return WorkflowError(kind, status, _title(status), detail, data=data)


def timeout(detail: str) -> WorkflowError:
    """The other side took too long."""
    return WorkflowError(ERROR_TYPES + "timeout", 408, "Request Timeout", detail)


def configuration(detail: str) -> WorkflowError:
    """The call, or what it refers to, is set up wrongly."""
    return WorkflowError(ERROR_TYPES + "configuration", 400, "Invalid configuration", detail)


def validation(detail: str) -> WorkflowError:
    """The call's arguments are not what they have to be."""
    return WorkflowError(ERROR_TYPES + "validation", 400, "Invalid arguments", detail)


def expression(detail: str) -> WorkflowError:
    """An expression of the call, or a URI template, could not be evaluated."""
    return WorkflowError(ERROR_TYPES + "expression", 400, "Expression error", detail)


def authentication(detail: str) -> WorkflowError:
    """The call could not be authenticated: no token was given."""
    return WorkflowError(ERROR_TYPES + "authentication", 401, "Unauthorized", detail)


def authorization(detail: str) -> WorkflowError:
    """The workflow may not do this: reach that address, use that secret."""
    return WorkflowError(ERROR_TYPES + "authorization", 403, "Forbidden", detail)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Communication error"
