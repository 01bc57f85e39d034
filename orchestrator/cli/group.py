"""The command group: imports a command's module when it is asked for, and translates errors."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

import click

from orchestrator.cli.exits import Exit, Failure, failure_of
from orchestrator.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    OrchestratorError,
)


class LazyGroup(click.Group):
    """A group of commands given as ``{"run": "orchestrator.cli.start:run"}``.

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
        """Run the command; an error of ours becomes a failure with its exit status."""
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
            if error.filename is None:  # a closed pipe, say: click knows what that means
                raise
            raise Failure(f"{error.filename}: {error.strerror}", Exit.USAGE) from error


def _translated(error: OrchestratorError) -> Failure:
    # Not at the top: the processes that serve are commands too, and call no API.
    from orchestrator.client import ApiError, Unreachable

    if isinstance(error, ApiError | Unreachable):
        return failure_of(error)
    return Failure(str(error), Exit.FAULTED)
