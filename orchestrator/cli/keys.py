"""`key create|list|revoke`: API keys."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console

_SHOWN = ("id", "prefix", "name", "role", "namespaces", "created_at", "expires_at", "revoked_at")


@click.group()
def key() -> None:
    """API keys: made, listed and revoked by an admin."""


@key.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    default="operator",
    show_default=True,
)
@click.option("--namespace", "namespaces", multiple=True, help="What it opens; default: all.")
@click.option("--expires", metavar="TIME", help="When it ends, as 2030-01-31T00:00:00Z.")
@shared_options
def create(
    shared: Shared, name: str, role: str, namespaces: Sequence[str], expires: str | None
) -> None:
    """Make a key and print it: this is the only time that it can be seen."""
    body = {"name": name, "role": role, "namespaces": list(namespaces) or ["*"]}
    body |= {"expires_at": expires} if expires else {}
    with shared.client() as client:
        made = client.transport.request("POST", "/v1/keys", json=body).json()
    if shared.printer.table:
        click.echo(made["key"])
    else:
        shared.printer.value(made)


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
    """Revoke keys; they open nothing any more."""
    with shared.client() as client:
        for id in ids:
            client.transport.request("DELETE", f"/v1/keys/{id}")
            progress_console().print(f"[green]revoked[/] {escape(id)}")
