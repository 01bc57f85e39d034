"""Exit statuses: how scripts see the result of a command."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from orchestrator.client import ApiError, Run, Unreachable


class Exit(IntEnum):
    """The exit statuses; they stay the same in every release."""

    COMPLETED = 0
    FAULTED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    WAIT_TIMED_OUT = 6
    CANCELLED = 7
    COMPENSATED = 8


#: The status after Ctrl-C, as in shells: 128 plus the number of SIGINT.
INTERRUPTED = 130


class Failure(click.ClickException):
    """The error of a command that failed; `hint` says what the user can do."""

    def __init__(self, message: str, status: Exit = Exit.USAGE, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click reads the attribute of the instance
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it on stderr."""
        from rich.markup import escape

        from orchestrator.cli.safe_console import SafeConsole

        console = SafeConsole(stderr=True, file=file, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error[/] {escape(self.message)}")
        if self.hint:
            console.print(f"[dim]{escape(self.hint)}[/]")


def exit_of(run: Run) -> Exit:
    """Return the exit status for the state of an instance."""
    if not run.ended:
        return Exit.WAIT_TIMED_OUT
    if run.status == "completed":
        return Exit.COMPLETED
    if run.status == "cancelled":
        return Exit.CANCELLED
    return Exit.COMPENSATED if run.compensation == "completed" else Exit.FAULTED


def exit_with(status: Exit) -> NoReturn:
    """End the command with this status."""
    sys.stdout.flush()
    sys.exit(int(status))


def failure_of(error: ApiError | Unreachable) -> Failure:
    """Turn an error of the client into a failure with its exit status."""
    from orchestrator.client import Unreachable

    if isinstance(error, Unreachable):
        return Failure(str(error), Exit.UNREACHABLE, _START_IT)
    status, hint = _STATUSES.get(error.status, (Exit.USAGE, None))
    return Failure("\n".join(_sentences(error)), status, hint)


def _sentences(error: ApiError) -> list[str]:
    """Return the error's text and a line for each detail. A single detail that the text contains
    only adds its pointer."""
    text, errors = str(error), error.errors
    if len(errors) == 1 and str(errors[0].get("message")) in text:
        pointer = errors[0].get("pointer")
        return [f"{text} ({pointer})" if pointer else text]
    return [text, *map(_detail, errors)]


_START_IT = """\
Start everything in one terminal with: orchestrator dev
or set the address of another API with --url or ORCHESTRATOR_API_URL."""
_LOG_IN = "Give an API key with --api-key or ORCHESTRATOR_API_KEY."
_STATUSES: dict[int, tuple[Exit, str | None]] = {
    401: (Exit.NOT_ALLOWED, _LOG_IN),
    403: (Exit.NOT_ALLOWED, None),
    404: (Exit.NOT_FOUND, None),
    500: (Exit.UNREACHABLE, "The API failed; its log has the reason."),
    502: (Exit.UNREACHABLE, None),
    503: (Exit.UNREACHABLE, "The API runs, but a server that it needs does not. Try again later."),
    504: (Exit.UNREACHABLE, None),
}


def _detail(error: dict[str, Any]) -> str:
    return f"  {error.get('pointer') or ''}: {error.get('message')}"
