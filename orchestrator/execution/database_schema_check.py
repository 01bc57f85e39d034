"""A worker or a beat does not work on a database whose schema it does not know."""

from __future__ import annotations

import sys

from orchestrator.database.schema.upgrade import require_schema
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

#: The exit status of a program that is set up wrongly, as the command line has it.
EXIT_CONFIGURATION = 2


def require_or_exit(settings: Settings) -> bool:
    """As `require_schema`, for a program of Celery's, which would show a traceback: one line,
    and the end (SystemExit)."""
    try:
        return require_schema(settings)
    except ConfigurationError as error:
        print_error(error)
        raise SystemExit(EXIT_CONFIGURATION) from None


def print_error(error: ConfigurationError) -> None:
    """The line that a program ends with."""
    # Celery may have made a logger of the other one.
    print(f"error {error}", file=sys.__stderr__, flush=True)
