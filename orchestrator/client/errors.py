"""What the client raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import OrchestratorError


class Unreachable(OrchestratorError):
    """The API does not answer, or another server answers at its address."""

    def __init__(self, url: str, reason: str | None) -> None:
        other = "is not the orchestrator's API: its answer is not JSON"
        super().__init__(f"{url} {other if reason is None else f'does not answer ({reason})'}")
        self.url = url


class ApiError(OrchestratorError):
    """The API refused a request.

    `status` is the HTTP status; `problem` the RFC 9457 body: `{type, title, status, detail,
    trace_id, errors: [{pointer, line, column, message}]}`.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors in the request, each with its position."""
        return list(self.problem.get("errors") or ())
