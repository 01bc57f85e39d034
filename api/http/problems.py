"""Errors become problem details (RFC 9457) here and nowhere else in the API.

Every answer with a status of 400 or more has the body
``{type, title, status, detail?, instance, trace_id, errors?[]}`` as
``application/problem+json``. An item of `errors` has `message` and, where it is known, a
`pointer` into the body (RFC 6901), a `line` and `column` of the document, or the
`parameter` of the query.
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

#: Most of the `errors` of one problem; the rest are counted in its detail.
MOST = 50


class Problem(OrchestratorError):
    """The API refuses a request, and says exactly why."""

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


#: Which kind an error of the orchestrator becomes; the first match counts.
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
    """Let every error of the app end in a problem."""
    app.register_error_handler(Exception, problem_response)


def problem_response(error: Exception) -> Response:
    """The response that tells of `error`; what nobody foresaw is logged and told as a 500."""
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
    # What the driver says of a lost database may name hosts and users: it is for the log.
    return None if kind.status == 503 else str(error)


def _errors(error: Exception) -> list[dict[str, Any]]:
    return [
        {
            "pointer": found.pointer,
            "line": found.line,
            "column": found.column,
            "message": found.message,
        }
        for found in getattr(error, "problems", ())
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
    """The problem as JSON."""
    kind = problem.kind
    members: dict[str, Any] = {"type": kind.type, "title": kind.title, "status": kind.status}
    if problem.detail:
        members["detail"] = problem.detail
    if instance:
        members["instance"] = instance
    members["trace_id"] = trace_id
    if problem.errors:
        members["errors"] = list(problem.errors[:MOST])
    return _dumped(members | problem.members)


def _dumped(members: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(members)
    except TypeError:  # a lone surrogate of the request's own text
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
    """The body of a problem that the server met before there was a request."""
    return body(problem, None, trace.new())


def respond(problem: Problem) -> Response:
    """The response to the present request that tells of `problem`."""
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
