"""The command group: imports the module of a command when it runs, and translates errors."""

from __future__ import annotations

import difflib
import traceback
from importlib import import_module
from typing import Any

import click

from orchestrator.cli.exit_codes import INTERRUPTED, Exit, Failure, failure_of
from orchestrator.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    OrchestratorError,
)
from orchestrator.extras import optional_imports, part_missing

#: Largest number of traceback frames that the report of an unexpected error shows.
_FRAMES = 12


class LazyGroup(click.Group):
    """A group of commands, declared as ``{"run": "orchestrator.cli.commands.instance_start:run"}``.

    Late imports keep `orchestrator --help` and shell completion fast, and a command that does not
    need Celery never imports it.
    """

    def __init__(self, *args: Any, commands_at: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (as click calls it)
        """Return the names in the order of their declaration."""
        return list(self.commands_at)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 (as click calls it)
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return the command of that name; None if there is none.

        Raises `PartMissing` if the extra [server] is not installed."""
        location = self.commands_at.get(cmd_name)
        if location is None:
            return None
        module, _, name = location.partition(":")
        with optional_imports():
            command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` name; the error for an unknown name suggests a similar
        one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            similar = difflib.get_close_matches(args[0], self.commands_at, n=1)
            if similar:
                message = f"{error.message} Did you mean '{similar[0]}'?"
                raise click.UsageError(message, ctx) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn every error into a failure with its exit status."""
        try:
            return super().invoke(ctx)
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            hint = "Set its address, or start everything with: orchestrator dev"
            raise Failure(str(error), Exit.UNREACHABLE, hint) from error
        except ConfigurationError as error:
            raise Failure(str(error), Exit.USAGE) from error
        except OrchestratorError as error:
            raise _translated(error) from error
        except OSError as error:
            if isinstance(error, BrokenPipeError):  # click handles it
                raise
            if error.filename is None:
                raise _unexpected(error) from error
            raise Failure(f"{error.filename}: {error.strerror}", Exit.USAGE) from error
        except UnicodeEncodeError as error:  # an argument of bytes that are not UTF-8
            raise Failure(f"{error.object!r} is not UTF-8", Exit.USAGE) from error
        except click.Abort as error:  # the answer to a question was not yes
            raise Failure("nothing was done", Exit.USAGE) from error
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:  # click's own status 1 would mean that the instance faulted
            click.echo("interrupted; instances that were started continue", err=True)
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:  # a person gets a sentence, a script a status
            raise _unexpected(error) from error


def _unexpected(error: Exception) -> Failure:
    """Report a bug of ours with its traceback, or the part that is not installed. The status is not
    1, which means that an instance faulted."""
    if isinstance(error, ImportError) and (missing := part_missing(error)):
        return Failure(str(missing), Exit.USAGE)
    frames = [
        f"  {frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    ]
    description = "".join(traceback.format_exception_only(error)).strip()
    hint = "\n".join(["This is a bug; please report it with these lines:", *frames])
    return Failure(f"the command failed unexpectedly: {description}", Exit.UNREACHABLE, hint)


def _translated(error: OrchestratorError) -> Failure:
    # Import the client here and not with this module: the commands that run an API, a worker or a
    # beat never need it.
    from orchestrator.client import ApiError, Unreachable

    if isinstance(error, ApiError | Unreachable):
        return failure_of(error)
    return Failure(str(error), Exit.FAULTED)
