"""Our command line as a subcommand of `celery` and `flask`, and as the program `orchestrator`.

The host programs load every installed plugin before each of their commands. So this module imports
nothing of ours: a command line that can't be loaded, for want of the extra [server] or because of
the project's version of click, concerns only who calls it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import click

_NOT_LOADED = (
    "the commands of orchestrator need the extra [server]:"
    " pip install 'celery-orchestrator[server]' ({})"
)
#: Exit status of a usage error, as in the command line itself.
_EXIT_USAGE = 2


class NotLoaded(click.ClickException):
    """The command line can't be imported."""

    exit_code = _EXIT_USAGE


class Plugin(click.Command):
    """Stands for our command group, which it imports when it is called."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return a context of the command group itself, which the host then invokes."""
        return _command_line().make_context(info_name, args, parent, **extra)


def _command_line() -> click.Command:
    """Import the command line. Raise `NotLoaded` for whatever goes wrong."""
    # Check now whether rich is installed. The commands import rich only when they run, so an import
    # of the command line would not show that rich is missing.
    if find_spec("rich") is None:
        raise NotLoaded(_NOT_LOADED.format("rich is not installed"))
    try:
        from orchestrator.cli import main
    except Exception as error:
        raise NotLoaded(_NOT_LOADED.format(f"{type(error).__name__}: {error}")) from error
    return main


command = Plugin("orchestrator", short_help="Durable workflows: run, list, show, why ...")


def program(arguments: list[str] | None = None, name: str = "orchestrator") -> None:
    """Run the command line as the program `name` and exit with its status. `arguments`: None for
    those of the process."""
    try:
        main = _command_line()
    except NotLoaded as error:
        error.show()
        sys.exit(_EXIT_USAGE)
    main(arguments, prog_name=name)
