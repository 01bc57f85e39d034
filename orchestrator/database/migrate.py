"""Brings the schema ``orchestrator`` of a database to the version that this code knows.

Migrations expand, then contract: a release reads and writes both the schema before its own
and its own, so that processes of two releases can run side by side.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from orchestrator.database.tables import SCHEMA
from orchestrator.database.url import for_sqlalchemy
from orchestrator.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported where it is needed: the API starts without it.

#: Held while migrating, so that several processes may ask for it at once.
LOCK = 0x6F726368


class UnknownSchema(ConfigurationError):
    """The database has a schema that this release does not know."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@lru_cache
def head() -> str:
    """The version that this code knows."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(url: str) -> str | None:
    """The version of the database's schema; None where there is none yet."""
    engine = sa.create_engine(for_sqlalchemy(url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return _version(connection)


def _version(connection: sa.Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(
        connection, opts={"version_table": "schema_version", "version_table_schema": SCHEMA}
    )
    return context.get_current_revision()


def upgrade(url: str, revision: str = "head") -> None:
    """Run the missing migrations in one transaction; safe to call from many processes."""
    from alembic import command

    engine = sa.create_engine(for_sqlalchemy(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"select pg_advisory_xact_lock({LOCK})"))
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def check(url: str) -> None:
    """Refuse to work on a schema that is missing or unknown.

    Raises:
        UnknownSchema: says what stands there and what to do.
    """
    found = current(url)
    if found != head():
        raise UnknownSchema(
            f"the database's schema is at {found or 'nothing'}, this release knows {head()}: "
            "run `orchestrator db upgrade` with the matching release"
        )
