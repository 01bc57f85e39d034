"""`key create|list|revoke`: API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.exit_codes import Failure
from orchestrator.cli.id_lookup import find_id
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client.url_paths import path
from orchestrator.settings import load_settings

_SHOWN = ("id", "prefix", "name", "role", "namespaces", "created_at", "expires_at", "revoked_at")


@click.group()
def key() -> None:
    """API keys. An admin creates, lists and revokes them."""


@key.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    default="operator",
    show_default=True,
)
@click.option(
    "--namespace", "namespaces", multiple=True, help="A namespace that it may access; default: all."
)
@click.option("--expires", metavar="TIME", help="When it expires: 2030-01-31T00:00:00Z.")
@click.option(
    "--in-database", is_flag=True, help="Write it into the database directly: for the first key."
)
@shared_options
def create(
    shared: Shared,
    name: str,
    role: str,
    namespaces: Sequence[str],
    expires: str | None,
    in_database: bool,
) -> None:
    """Create a key and print it. The key is shown only this once."""
    body: dict[str, Any] = {"name": name, "role": role, "namespaces": list(namespaces) or ["*"]}
    body |= {"expires_at": expires} if expires else {}
    made = _create_in_database(body) if in_database else _create(shared, body)
    if shared.printer.table:
        click.echo(made["key"])
    else:
        shared.printer.value(made)


def _create(shared: Shared, body: dict[str, Any]) -> dict[str, Any]:
    with shared.client() as client:
        made: dict[str, Any] = client.transport.json("POST", "/v1/keys", json=body)
    return made


def _create_in_database(body: dict[str, Any]) -> dict[str, Any]:
    """Create a key without the API. A user who can write into the database may create any key."""
    from api.resources.api_keys import new_key
    from orchestrator.database.access import api_key_queries, audit_queries
    from orchestrator.database.connection.database import Database

    database = Database(load_settings().database_url)
    row, secret = new_key(body)
    details = {"name": row.name, "role": row.role, "opens": list(row.namespaces)}
    with database.transaction() as cursor:
        if api_key_queries.count_live(cursor, row) >= api_key_queries.MOST_LIVE:
            raise Failure(
                f"{api_key_queries.MOST_LIVE} keys with the name {row.name!r} are in use already"
            )
        api_key_queries.put(cursor, row)
        audit_queries.write(
            cursor,
            audit_queries.AuditEntry("command line", "key.make", target=row.id, details=details),
        )
    database.close()
    return {"id": row.id, "prefix": row.prefix, **body, "key": secret}


@key.command("list")
@shared_options
def list_(shared: Shared) -> None:
    """List keys, without their secrets."""
    with shared.client() as client:
        shared.printer.rows(client.pages("/v1/keys"), _SHOWN)


@key.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@shared_options
def revoke(shared: Shared, ids: Sequence[str]) -> None:
    """Revoke keys; they give no access any more."""
    with shared.client() as client:
        for id in (find_id(client, "/v1/keys", id) for id in ids):
            client.transport.request("DELETE", path("keys", id))
            progress_console().print(f"[green]revoked[/] {escape(id)}")
