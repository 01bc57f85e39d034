"""Postgres URLs as people write them, and as SQLAlchemy and libpq want them."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"^postgres(ql)?(\+\w+)?://")


def for_sqlalchemy(url: str) -> str:
    """The URL with our one driver named, whatever scheme it came with."""
    return _SCHEME.sub("postgresql+psycopg2://", url, count=1)


def for_libpq(url: str) -> str:
    """The URL without a driver's name."""
    return _SCHEME.sub("postgresql://", url, count=1)
