"""Postgres URLs as people write them, and as SQLAlchemy and libpq need them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from orchestrator.errors import ConfigurationError

_SCHEME = re.compile(r"^postgres(ql)?(\+\w+)?://")


def for_sqlalchemy(url: str) -> str:
    """Return the URL with the only driver that we use, whatever its scheme was.

    Raises `ConfigurationError` for anything but a Postgres URL. The message shows no more than the
    scheme, since there may be a password in the URL.
    """
    if not _SCHEME.match(url):
        scheme = urlsplit(url).scheme
        given = f"{scheme}://" if scheme else "something without a scheme"
        raise ConfigurationError(
            f"a database is named by postgresql://user:password@host:port/name, not by {given}"
        )
    return _SCHEME.sub("postgresql+psycopg2://", url, count=1)


def for_libpq(url: str) -> str:
    """Return the URL without a driver's name."""
    return _SCHEME.sub("postgresql://", url, count=1)
