"""Logins of a database that may submit starts in their own transactions, and no more."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from orchestrator.database.access import outbox_grants
from orchestrator.database.connection.database import Database

_numbers = itertools.count()
PASSWORD = "shop-password"


@contextmanager
def outbox_login(
    database: Database, namespace: str | None = "shop", max_rows: int = 100_000
) -> Iterator[str]:
    """The URL of a new login, granted a namespace (None: it is granted nothing)."""
    login = f"app_{os.getpid()}_{next(_numbers)}"
    database.all(f"create role {login} login password '{PASSWORD}'")
    if namespace is not None:
        statements = outbox_grants.grant_statements(database, login, namespace, max_rows)
        outbox_grants.execute(database, statements)
    parts = urlsplit(database.url)
    where = f"{login}:{PASSWORD}@{parts.hostname}:{parts.port}"
    try:
        yield urlunsplit(parts._replace(netloc=where))
    finally:
        database.all(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (login,)
        )
        database.all(f"drop owned by {login}; drop role {login}")
