"""Exit statuses: what a script can tell from how a command ended."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from orchestrator.client import ApiError, Run, Unreachable


class Exit(IntEnum):
    """The statuses of the command line's contract."""

    COMPLETED = 0
    FAULTED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    WAIT_TIMED_OUT = 6
    CANCELLED = 7
    COMPENSATED = 8


#: The status after Ctrl-C, as shells have it: 128 and the number of SIGINT.
INTERRUPTED = 130


class Failure(click.ClickException):
    """A command that cannot do its work: says what is wrong and, as `hint`, what to do."""

    def __init__(self, message: str, status: Exit = Exit.USAGE, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click reads the instance's
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
    """The status that tells how an instance stands."""
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
    """An error of the client as a failure with its exit status."""
    from orchestrator.client import Unreachable

    if isinstance(error, Unreachable):
        return Failure(str(error), Exit.UNREACHABLE, _START_IT)
    status, hint = _STATUSES.get(error.status, (Exit.USAGE, None))
    return Failure("\n".join(_sentences(error)), status, hint)


def _sentences(error: ApiError) -> list[str]:
    """The refusal and its reasons, each with its place; a single one is the refusal itself."""
    said, errors = str(error), error.errors
    if len(errors) == 1 and str(errors[0].get("message")) in said:
        pointer = errors[0].get("pointer")
        return [f"{said} ({pointer})" if pointer else said]
    return [said, *map(_place, errors)]


_START_IT = """\
Start everything in one terminal with: orchestrator dev
or name another API with --url or ORCHESTRATOR_API_URL."""
_LOG_IN = "Give an API key with --api-key or ORCHESTRATOR_API_KEY."
_STATUSES: dict[int, tuple[Exit, str | None]] = {
    401: (Exit.NOT_ALLOWED, _LOG_IN),
    403: (Exit.NOT_ALLOWED, None),
    404: (Exit.NOT_FOUND, None),
    500: (Exit.UNREACHABLE, "The API failed; its log says why."),
    502: (Exit.UNREACHABLE, None),
    503: (Exit.UNREACHABLE, "The API runs, but something that it needs does not: try again."),
    504: (Exit.UNREACHABLE, None),
}


def _place(error: dict[str, Any]) -> str:
    return f"  {error.get('pointer') or ''}: {error.get('message')}"
