"""Bring the schema ``orchestrator`` of a database to the version that this release knows.

Migrations expand, then contract: a release reads and writes the schema before its own and its own,
so that processes of two releases can run side by side. A release cannot know later schemas; so the
upgrade records in the database which releases may work on its schema (`SCHEMA_COMMENT`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2.errors

from orchestrator.database.connection.database import Database, translated
from orchestrator.database.connection.postgres_url import for_sqlalchemy
from orchestrator.database.schema import function_installer
from orchestrator.errors import ConfigurationError, DatabaseUnavailable, OrchestratorError
from orchestrator.log import get_logger
from orchestrator.message_names import OUTBOX_SCHEMA, SCHEMA

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config

    from orchestrator.settings import Settings

# Import Alembic and SQLAlchemy only in the functions that need them, not here: APIs, workers and
# beats run without both libraries.

log = get_logger(__name__)

#: Held while migrating, so that several processes may ask for it at once.
LOCK = 0x6F726368

#: The schema of the release before this one, which this one works on too; None: there is no
#: release before.
PREVIOUS: str | None = None

#: The comment on the table of the version: the schemas whose releases may work on this one, and
#: the digest of its functions. Development data from before the first release has no digest.
SCHEMA_COMMENT = "for releases of the schemas {}; functions {}"

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class UnknownSchema(ConfigurationError):
    """The database has a schema that this release does not know."""


@contextmanager
def reaching_postgres() -> Iterator[None]:
    """Turn connection errors of SQLAlchemy in the block into `DatabaseUnavailable`."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        cause = translated(error.orig) if isinstance(error.orig, psycopg2.Error) else error
        if isinstance(cause, OrchestratorError):
            raise cause from error
        raise


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


def upgrade(url: str) -> None:
    """Run the missing migrations and install the functions, in one transaction; safe to call from
    many processes. Leave a later release's schema as it is where this release may work on it.

    Raises:
        UnknownSchema: a later release's schema on which this one may not work, or development
            data from before the first release.
        SignatureChanged: see `install_functions`.
    """
    import sqlalchemy as sa
    from alembic import command

    engine = sa.create_engine(for_sqlalchemy(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"select pg_advisory_xact_lock({LOCK})"))
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        found = _version(connection)
        comment = _require_released(connection, found)
        if found is not None and found > head():
            return _require_known(found, comment)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        function_installer.install_functions(connection)
        _record_compatible(connection)
    return None


def _require_released(connection: sa.Connection, found: str | None) -> str | None:
    """Return the comment on the schema `found`; refuse development data."""
    if found is not None:
        comment: str | None = connection.exec_driver_sql(_COMMENT).scalar()
        if _digest_in(comment) is None:
            raise UnknownSchema(_DEVELOPMENT_DATA.format(f"schema {found}"))
        return comment
    if connection.exec_driver_sql(f"select to_regclass('{SCHEMA}.instances')").scalar():
        raise UnknownSchema(_DEVELOPMENT_DATA.format("a schema without a version"))
    return None


def _record_compatible(connection: sa.Connection) -> None:
    """Record which releases may work on this schema, and the digest of its functions."""
    schemas = " and ".join(filter(None, (PREVIOUS, head())))
    comment = SCHEMA_COMMENT.format(schemas, function_installer.digest())
    connection.exec_driver_sql(f"comment on table {SCHEMA}.schema_version is '{comment}'")


_COMMENT = f"select obj_description('{SCHEMA}.schema_version'::regclass)"
_FOUND = f"select version_num, ({_COMMENT}) from {SCHEMA}.schema_version"
_DEVELOPMENT_DATA = (
    "the database holds development data of {} from before the first release: start with --fresh"
    f" (`orchestrator dev --fresh`), or drop the schemas {SCHEMA!r} and {OUTBOX_SCHEMA!r} and run"
    " `orchestrator db upgrade`"
)


def _digest_in(comment: str | None) -> str | None:
    """Return the digest of the functions that the upgrade recorded."""
    found = re.search(r"; functions ([0-9a-f]{64})$", comment or "")
    return found[1] if found else None


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


def version_at(url: str) -> str | None:
    """Return the schema's version as `current` does, without SQLAlchemy. Raises
    `DatabaseUnavailable`."""
    database = Database(url, size=1)
    try:
        row = database.one(_FOUND)
    finally:
        database.close()
    return None if row is None else str(row[0])


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


def _require_known(found: str | None, comment: str | None) -> None:
    """Refuse the schema `found`, with the upgrade's comment, unless this release works on it."""
    mine = head()
    if found is None:
        raise UnknownSchema(
            f"the database has no schema {SCHEMA!r}: run `orchestrator db upgrade` first"
        )
    functions = _digest_in(comment)
    if functions is None:
        raise UnknownSchema(_DEVELOPMENT_DATA.format(f"schema {found}"))
    if found == mine and functions != function_installer.digest():
        raise UnknownSchema(
            f"the functions of the database's schema {found} are not those of this release:"
            " run its `orchestrator db upgrade` first"
        )
    if found in (mine, PREVIOUS):
        return
    if found < mine:
        raise UnknownSchema(
            f"the database's schema is {found}, and this release needs {mine}:"
            " run its `orchestrator db upgrade` first"
        )
    if mine not in re.findall(r"\d+", (comment or "").partition(";")[0]):
        raise UnknownSchema(
            f"the database's schema is {found}, and this release knows none after {mine}:"
            " start the release that upgraded it, or a later one"
        )
