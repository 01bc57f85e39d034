"""Ends a worker or a beat whose database has a schema that this release does not support."""

from __future__ import annotations

import sys

from orchestrator.database.schema.upgrade import require_schema
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

#: Exit status of a wrongly configured program, the same as that of the command line.
EXIT_CONFIGURATION = 2


def require_or_exit(settings: Settings) -> bool:
    """Call `require_schema`; print its error as one line, where Celery would print a traceback.

    Raises:
        SystemExit: this release does not support the schema.
    """
    try:
        return require_schema(settings)
    except ConfigurationError as error:
        print_error(error)
        raise SystemExit(EXIT_CONFIGURATION) from None


def print_error(error: ConfigurationError) -> None:
    """Print the error on standard error."""
    # Celery may have replaced `sys.stderr` by a logger.
    print(f"error {error}", file=sys.__stderr__, flush=True)
