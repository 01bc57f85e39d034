"""Turns every error of the API into problem details (RFC 9457).

Every answer with a status of 400 or more has the body
``{type, title, status, detail?, instance, trace_id, errors?[]}`` as
``application/problem+json``. An item of `errors` has `message` and, if known, a `pointer` into
the body (RFC 6901), a `line` and `column` of the document, or the `parameter` of the query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, SecurityError

from api.http import problem_types
from api.http import trace_id as trace
from api.http.problem_types import ProblemType
from api.http.slow_request import SlowRequest
from orchestrator.database.access.idempotency_queries import InFlight, KeyReused
from orchestrator.database.connection.database import LockTimeout
from orchestrator.database.schema.upgrade import UnknownSchema
from orchestrator.document.diagnostics import InvalidDocument, MalformedDocument
from orchestrator.errors import Conflict, DatabaseUnavailable, NotFound, OrchestratorError
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger

MEDIA_TYPE = "application/problem+json"

log = get_logger(__name__)

#: The most `errors` in one problem; the rest are left out.
MAX_ERRORS = 50


class Problem(OrchestratorError):
    """The API refuses a request: the type of problem, and the reason in words."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail or kind.title)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.members = members


#: The problem type of each error of the orchestrator; the first match counts.
TRANSLATIONS: tuple[tuple[type[OrchestratorError], ProblemType], ...] = (
    (MalformedDocument, problem_types.MALFORMED_DOCUMENT),
    (InvalidDocument, problem_types.INVALID_DOCUMENT),
    (InFlight, problem_types.IN_FLIGHT),
    (KeyReused, problem_types.KEY_REUSED),
    (NotFound, problem_types.NOT_FOUND),
    (LockTimeout, problem_types.UNAVAILABLE),
    (DatabaseUnavailable, problem_types.UNAVAILABLE),
    (UnknownSchema, problem_types.UNAVAILABLE),
    (EvaluatorUnavailable, problem_types.NO_EVALUATOR),
    (Conflict, problem_types.CONFLICT),
)


def install(app: Flask) -> None:
    """Make every error of the app end in a problem."""
    app.register_error_handler(Exception, problem_response)


def problem_response(error: Exception) -> Response:
    """Return the response to an error. An unexpected error is logged and becomes a 500."""
    problem = _translated(error)
    if problem.kind.status >= 500:
        _log(problem, error)
    return respond(problem)


def _translated(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, SlowRequest):
        return Problem(problem_types.TIMEOUT)
    for family, kind in TRANSLATIONS:
        if isinstance(error, family):
            return Problem(kind, _detail(error, kind), errors=_errors(error))
    return Problem(problem_types.INTERNAL)


def _of_http(error: HTTPException) -> Problem:
    kind = problem_types.BY_STATUS.get(error.code or 500, problem_types.INTERNAL)
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    detail = "this host is not served here" if isinstance(error, SecurityError) else None
    return Problem(kind, detail, headers=headers)


def _detail(error: Exception, kind: ProblemType) -> str | None:
    # Give no detail with status 503: the driver's message about a lost database may name hosts and
    # users. Only the log gets that message.
    return None if kind.status == 503 else str(error)


def _errors(error: Exception) -> list[dict[str, Any]]:
    return [
        {
            "pointer": diagnostic.pointer,
            "line": diagnostic.line,
            "column": diagnostic.column,
            "message": diagnostic.message,
        }
        for diagnostic in getattr(error, "problems", ())
    ]


def _log(problem: Problem, error: Exception) -> None:
    report = log.warning if problem.kind.status == 503 else log.error
    report(
        f"{request.method} {request.path} failed: {error}",
        action="request_failed",
        status=problem.kind.status,
        trace_id=trace.current(),
        exc_info=error if problem.kind is problem_types.INTERNAL else None,
    )


def body(problem: Problem, instance: str | None, trace_id: str) -> bytes:
    """Return the problem as JSON."""
    kind = problem.kind
    members: dict[str, Any] = {"type": kind.type, "title": kind.title, "status": kind.status}
    if problem.detail:
        members["detail"] = problem.detail
    if instance:
        members["instance"] = instance
    members["trace_id"] = trace_id
    if problem.errors:
        members["errors"] = list(problem.errors[:MAX_ERRORS])
    return _dumped(members | problem.members)


def _dumped(members: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(members)
    except TypeError:  # half of a surrogate pair, quoted from the request
        return orjson.dumps(_printable(members))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value


def body_before_request(problem: Problem) -> bytes:
    """Return the body of a problem that occurred before the request could be read."""
    return body(problem, None, trace.new())


def respond(problem: Problem) -> Response:
    """Return `problem` as the response to the current request."""
    headers = dict(problem.headers)
    if problem.kind.retry_after is not None:
        headers.setdefault("Retry-After", str(problem.kind.retry_after))
    if problem.kind is problem_types.UNAUTHENTICATED:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="orchestrator"')
    return Response(
        body(problem, request.path[:300], trace.current()),
        problem.kind.status,
        headers,
        content_type=MEDIA_TYPE,
    )
