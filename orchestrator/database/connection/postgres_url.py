"""Postgres URLs as people write them, and as SQLAlchemy and libpq want them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from orchestrator.errors import ConfigurationError

_SCHEME = re.compile(r"^postgres(ql)?(\+\w+)?://")


def for_sqlalchemy(url: str) -> str:
    """The URL with our one driver named, whatever scheme it came with.

    Raises `ConfigurationError` for what is no Postgres URL; it shows no more than the scheme,
    since there may be a password in it.
    """
    if not _SCHEME.match(url):
        scheme = urlsplit(url).scheme
        named = f"{scheme}://" if scheme else "something without a scheme"
        raise ConfigurationError(
            f"a database is named by postgresql://user:password@host:port/name, not by {named}"
        )
    return _SCHEME.sub("postgresql+psycopg2://", url, count=1)


def for_libpq(url: str) -> str:
    """The URL without a driver's name."""
    return _SCHEME.sub("postgresql://", url, count=1)
