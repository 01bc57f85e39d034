"""The errors of the product. Each border translates them once: `api` to HTTP problems,
`error_handler` to errors of the DSL, the command line to exit statuses."""

from __future__ import annotations

from typing import Any

ERROR_TYPES = "https://serverlessworkflow.io/spec/1.0.0/errors/"


class OrchestratorError(Exception):
    """Something went wrong in the orchestrator."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class ConfigurationError(OrchestratorError):
    """The orchestrator is not set up properly."""


class DatabaseUnavailable(OrchestratorError):
    """Postgres cannot be reached right now; nothing was changed, or the outcome is unknown."""


class BrokerUnavailable(OrchestratorError):
    """The message broker cannot be reached right now; the state in Postgres is complete."""


class NotFound(OrchestratorError):
    """The requested object does not exist."""


class Conflict(OrchestratorError):
    """The request conflicts with the current state."""


class WorkflowError(Exception):
    """Raised by a task to fault its step with an exact DSL error (dsl.md, Errors).

    `type` is a URI, `status` an HTTP-like status code; `title` and `detail` are for people.
    `data` is JSON for the workflow that catches the error. Data of more than 32 KiB is dropped.
    """

    def __init__(
        self,
        type: str = ERROR_TYPES + "runtime",  # the DSL's own word
        status: int = 500,
        title: str | None = None,
        detail: str | None = None,
        instance: str | None = None,
        data: Any = None,
    ) -> None:
        super().__init__(type, status, title, detail, instance, data)
        self.type = type
        self.status = status
        self.title = title
        self.detail = detail
        self.instance = instance
        self.data = data

    def __str__(self) -> str:
        return self.detail or self.title or self.type

    def to_json(self) -> dict[str, Any]:
        """The error as the DSL writes it, without the members that are not set."""
        members = {
            "type": self.type,
            "status": self.status,
            "title": self.title,
            "detail": self.detail,
            "instance": self.instance,
            "data": self.data,
        }
        return {key: value for key, value in members.items() if value is not None}
