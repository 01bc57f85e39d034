"""`db upgrade` and `db current`: the database's schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from orchestrator.cli.exit_codes import Exit, exit_with
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings, load_settings

_url = click.option("--database-url", metavar="URL", help="Default: ORCHESTRATOR_DATABASE_URL.")


@click.group()
def db() -> None:
    """Prepare the database, or say which schema it has."""


@db.command()
@_url
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="ROLE=FILE",
    help="Make the API key (prefix.secret) that stands in a file, unless it was made before.",
)
def upgrade(database_url: str | None, keys: Sequence[str]) -> None:
    """Bring the schema to what this release knows; safe to repeat."""
    from orchestrator.cli.server.deployment_api_keys import make, read
    from orchestrator.database.schema import upgrade as migrate

    wanted = [read(key) for key in keys]

    url = _settings(database_url).direct_url
    with reaching_postgres():
        before = migrate.current(url)
        migrate.upgrade(url)
        after = migrate.current(url)
        made = [key for key in wanted if make(url, key)]
    click.echo(f"{before or 'empty'} -> {after}" if before != after else f"{after}: nothing to do")
    for key in made:
        click.echo(f"made the {key.role} key {key.prefix}")


@db.command()
@_url
def current(database_url: str | None) -> None:
    """Print the schema's version; exits 3 where there is none, 2 where it is another one's."""
    from orchestrator.database.schema import upgrade as migrate

    with reaching_postgres():
        found = migrate.current(_settings(database_url).direct_url)
    click.echo(found or "empty")
    if found is None:
        exit_with(Exit.NOT_FOUND)
    exit_with(Exit.COMPLETED if found == migrate.head() else Exit.USAGE)


@contextmanager
def reaching_postgres() -> Iterator[None]:
    """Say that Postgres can't be reached as everybody else does: `DatabaseUnavailable`."""
    import psycopg2
    from sqlalchemy.exc import DBAPIError

    from orchestrator.database.connection.database import translated

    try:
        yield
    except DBAPIError as error:
        meant = translated(error.orig) if isinstance(error.orig, psycopg2.Error) else error
        if isinstance(meant, OrchestratorError):
            raise meant from error
        raise


def _settings(database_url: str | None) -> Settings:
    settings = load_settings()
    if database_url is None:
        return settings
    return dataclasses.replace(settings, database_url=database_url, database_direct_url=None)
