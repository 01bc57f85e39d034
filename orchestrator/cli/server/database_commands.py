"""`db upgrade`, `db current`, `db grants`: the schema of the database, and who may use it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import click

from orchestrator.cli.exit_codes import Exit, exit_with
from orchestrator.settings import Settings, load_settings

#: A namespace, as documents and the API have it.
NAMESPACE = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

_url = click.option("--database-url", metavar="URL", help="Default: ORCHESTRATOR_DATABASE_URL.")


@click.group()
def db() -> None:
    """Prepare the database, print the version of its schema, grant rights."""


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


@db.command()
@click.argument("role")
@click.option("--namespace", metavar="NAME", help="The namespace in which ROLE starts workflows.")
@click.option(
    "--max-rows",
    type=click.IntRange(1, 10_000_000),
    default=100_000,
    show_default=True,
    help="The most submitted starts of the namespace that may wait.",
)
@click.option("--revoke", is_flag=True, help="Take the rights away again.")
@click.option("--print", "printed", is_flag=True, help="Print the SQL and execute nothing.")
@_url
def grants(
    role: str,
    namespace: str | None,
    max_rows: int,
    revoke: bool,
    printed: bool,
    database_url: str | None,
) -> None:
    """Let the database login ROLE start workflows in its own transactions.

    The login may call orchestrator_outbox.submit, and read and write nothing else. Each login
    starts workflows of one namespace; granting again changes it.
    """
    from orchestrator.bootstrap import database_of
    from orchestrator.database.access import outbox_grants

    if revoke == (namespace is not None):
        raise click.UsageError("give --namespace NAME, or --revoke")
    if namespace is not None and not re.fullmatch(NAMESPACE, namespace):
        raise click.UsageError(f"{namespace!r} is not a namespace: it must match {NAMESPACE}")
    settings = _settings(database_url)
    database = database_of(
        dataclasses.replace(settings, database_url=settings.direct_url), checked=False, size=1
    )
    try:
        _require_login(outbox_grants.can_log_in(database, role), role)
        statements = (
            outbox_grants.grant_statements(database, role, namespace, max_rows)
            if namespace is not None
            else outbox_grants.revoke_statements(database, role)
        )
        if not printed:
            outbox_grants.execute(database, statements)
    finally:
        database.close()
    for statement in statements if printed else ():
        click.echo(f"{statement};")
    if not printed:
        did = f"starts workflows of {namespace}" if namespace else "starts no workflows"
        click.echo(f"{role} {did} in its own transactions")


def _require_login(can_log_in: bool | None, role: str) -> None:
    if can_log_in is None:
        raise click.UsageError(f"the server has no role {role!r}")
    if not can_log_in:
        raise click.UsageError(
            f"{role!r} is a group: name each login, for the login decides the namespace"
        )


def _settings(database_url: str | None) -> Settings:
    settings = load_settings()
    if database_url is None:
        return settings
    return dataclasses.replace(settings, database_url=database_url, database_direct_url=None)
