"""Ends a worker or beat program that is set up wrongly, with one line instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import ConfigurationError

#: Exit status of a wrongly configured program, the same as that of the command line.
EXIT_CONFIGURATION = 2


@contextmanager
def configuration_exit() -> Iterator[None]:
    """Turn a `ConfigurationError` of the block into one line and the end of the program.

    Celery would print a traceback, or catch the error and go on.

    Raises:
        SystemExit: the block raised a `ConfigurationError`.
    """
    try:
        yield
    except ConfigurationError as error:
        print_error(error)
        raise SystemExit(EXIT_CONFIGURATION) from None


def print_error(error: ConfigurationError) -> None:
    """Print the error on standard error."""
    # Print to the process's original standard error: Celery may have replaced `sys.stderr` by a
    # logger.
    print(f"error {error}", file=sys.__stderr__, flush=True)
