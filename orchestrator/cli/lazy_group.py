"""The command group: imports a command's module when it is asked for, and translates errors."""

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

#: How many of the innermost places of an unexpected error are shown.
_FRAMES = 12


class LazyGroup(click.Group):
    """A group of commands given as ``{"run": "orchestrator.cli.commands.instance_start:run"}``.

    So `orchestrator --help` and shell completion stay quick, and a command that needs no
    Celery never imports it.
    """

    def __init__(self, *args: Any, commands_at: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (as click calls it)
        """The names, in the order in which they were given."""
        return list(self.commands_at)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 (as click calls it)
        cmd_name: str,
    ) -> click.Command | None:
        """The command of that name."""
        place = self.commands_at.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` ask for; a near miss is named."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.commands_at, n=1)
            if near:
                message = f"{error.message} Did you mean '{near[0]}'?"
                raise click.UsageError(message, ctx) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error becomes a failure with its exit status."""
        try:
            return super().invoke(ctx)
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            hint = "Name it by a setting, or start everything with: orchestrator dev"
            raise Failure(str(error), Exit.UNREACHABLE, hint) from error
        except ConfigurationError as error:
            raise Failure(str(error), Exit.USAGE) from error
        except OrchestratorError as error:
            raise _translated(error) from error
        except OSError as error:
            if isinstance(error, BrokenPipeError):  # click knows what that means
                raise
            if error.filename is None:
                raise _unexpected(error) from error
            raise Failure(f"{error.filename}: {error.strerror}", Exit.USAGE) from error
        except UnicodeEncodeError as error:  # an argument of bytes that are not UTF-8
            raise Failure(f"{error.object!r} is not UTF-8", Exit.USAGE) from error
        except click.Abort as error:  # a question was not answered with yes
            raise Failure("nothing was done", Exit.USAGE) from error
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:  # 1, as click has it, would say that the instance faulted
            click.echo("interrupted; what was started goes on", err=True)
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:  # whatever it is: a person gets a sentence, a script a status
            raise _unexpected(error) from error


def _unexpected(error: Exception) -> Failure:
    """A fault of ours, with the places that it passed through. Its status is not 1: that would
    say that an instance faulted."""
    places = [
        f"  {frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    ]
    what = "".join(traceback.format_exception_only(error)).strip()
    hint = "\n".join(["This is a bug; please report it with these lines:", *places])
    return Failure(f"the command failed unexpectedly: {what}", Exit.UNREACHABLE, hint)


def _translated(error: OrchestratorError) -> Failure:
    # Not at the top: the processes that serve are commands too, and call no API.
    from orchestrator.client import ApiError, Unreachable

    if isinstance(error, ApiError | Unreachable):
        return failure_of(error)
    return Failure(str(error), Exit.FAULTED)
