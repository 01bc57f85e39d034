"""`db upgrade` and `db current`: the schema of the database."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import click

from orchestrator.cli.exit_codes import Exit, exit_with
from orchestrator.settings import Settings, load_settings

_url = click.option("--database-url", metavar="URL", help="Default: ORCHESTRATOR_DATABASE_URL.")


@click.group()
def db() -> None:
    """Prepare the database, or print the version of its schema."""


@db.command()
@_url
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="ROLE=FILE",
    help="Create the API key (prefix.secret) in FILE, unless it was created before.",
)
def upgrade(database_url: str | None, keys: Sequence[str]) -> None:
    """Upgrade the schema to this release's version; safe to repeat."""
    from orchestrator.cli.server.deployment_api_keys import make, read
    from orchestrator.database.schema import upgrade as migrate

    api_keys = [read(key) for key in keys]

    url = _settings(database_url).direct_url
    with migrate.reaching_postgres():
        before = migrate.current(url)
        migrate.upgrade(url)
        after = migrate.current(url)
        made = [key for key in api_keys if make(url, key)]
    click.echo(f"{before or 'empty'} -> {after}" if before != after else f"{after}: nothing to do")
    for key in made:
        click.echo(f"made the {key.role} key {key.prefix}")


@db.command()
@_url
def current(database_url: str | None) -> None:
    """Print the schema's version; exits 3 if there is none, 2 if it is another release's."""
    from orchestrator.database.schema import upgrade as migrate

    with migrate.reaching_postgres():
        version = migrate.current(_settings(database_url).direct_url)
    click.echo(version or "empty")
    if version is None:
        exit_with(Exit.NOT_FOUND)
    exit_with(Exit.COMPLETED if version == migrate.head() else Exit.USAGE)


def _settings(database_url: str | None) -> Settings:
    settings = load_settings()
    if database_url is None:
        return settings
    return dataclasses.replace(settings, database_url=database_url, database_direct_url=None)
