"""Brings the schema ``orchestrator`` of a database to the version that this code knows.

Migrations expand, then contract: a release reads and writes both the schema before its own
and its own, so that processes of two releases can run side by side. A release cannot know the
schemas that come after it; so whoever upgrades notes in the database which releases may go on
(`ADMITTED`), and they find their own schema there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2.errors

from orchestrator.database.connection.database import Database
from orchestrator.database.connection.postgres_url import for_sqlalchemy
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.message_names import SCHEMA

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config

    from orchestrator.settings import Settings

# Alembic and SQLAlchemy are imported where they are needed: processes that run do without.

log = get_logger(__name__)

#: Held while migrating, so that several processes may ask for it at once.
LOCK = 0x6F726368

#: The schema of the release before this one, which this one works on too; None: there is no
#: release before.
PREVIOUS: str | None = None

#: The comment on the table of the version: the schemas whose releases may work on this one.
COMPATIBLE_COMMENT = "for releases of the schemas {}"

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class UnknownSchema(ConfigurationError):
    """The database has a schema that this release does not know."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@lru_cache
def head() -> str:
    """The version that this code knows: its last migration, whose files are numbered."""
    return max(file.name.partition("_")[0] for file in _VERSIONS.glob("[0-9]*_*.py"))


def current(url: str) -> str | None:
    """The version of the database's schema; None where there is none yet."""
    import sqlalchemy as sa

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
    """Run the missing migrations in one transaction; safe to call from many processes. A later
    release's schema on which this one may work is left as it is.

    Raises:
        UnknownSchema: it is a later release's, and this one may not.
    """
    import sqlalchemy as sa
    from alembic import command

    engine = sa.create_engine(for_sqlalchemy(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"select pg_advisory_xact_lock({LOCK})"))
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        found = _version(connection)
        if found is not None and found > head():
            return _require_known(found, connection.scalar(sa.text(_NOTE)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        if revision == "head":
            _record_compatible(connection)
    return None


def _record_compatible(connection: sa.Connection) -> None:
    """Note which releases may work on this schema."""
    import sqlalchemy as sa

    note = COMPATIBLE_COMMENT.format(" and ".join(filter(None, (PREVIOUS, head()))))
    connection.execute(sa.text(f"comment on table {SCHEMA}.schema_version is '{note}'"))


_NOTE = f"select obj_description('{SCHEMA}.schema_version'::regclass)"
_FOUND = f"select version_num, ({_NOTE}) from {SCHEMA}.schema_version"


def check(url: str) -> None:
    """Refuse to work on a schema that is missing or unknown. (Alembic is not needed for it.)

    Raises:
        UnknownSchema: says what stands there and what to do.
        DatabaseUnavailable: nobody can tell.
    """
    database = Database(url, size=1, on_connect=check_connection)
    try:
        database.one("select 1")
    finally:
        database.close()


def require_schema(settings: Settings) -> bool:
    """What a process asks for when it starts. A database that is away is waited for: nobody can
    tell then, which is False. It is asked again at the first connection (`bootstrap.services`).

    Raises:
        UnknownSchema: the database's schema is missing, or none that this release works on.
    """
    try:
        check(settings.database_url)
    except DatabaseUnavailable as error:
        log.warning("Postgres is unavailable", action="schema_unchecked", error=str(error))
        return False
    return True


def check_connection(connection: Any) -> None:
    """As `check`, over a connection that is there (see `Database`)."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_FOUND)
            found = cursor.fetchone()
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        found = None
    except psycopg2.errors.InsufficientPrivilege as error:
        raise UnknownSchema(f"the database's schema can't be read: {error}".strip()) from error
    _require_known(*(found or (None, None)))


def _require_known(found: str | None, note: str | None) -> None:
    """Whether this release works on the schema `found`, which has that note."""
    mine = head()
    if found in (mine, PREVIOUS) and found is not None:
        return
    if found is None:
        raise UnknownSchema(
            f"the database has no schema {SCHEMA!r}: run `orchestrator db upgrade` first"
        )
    if found < mine:
        raise UnknownSchema(
            f"the database's schema is {found}, and this release needs {mine}:"
            " run its `orchestrator db upgrade` first"
        )
    if mine not in re.findall(r"\d+", note or ""):
        raise UnknownSchema(
            f"the database's schema is {found}, and this release knows none after {mine}:"
            " start the release that upgraded it, or a later one"
        )
