"""`secret set|list|delete|rotate|new-key`: secrets of workflows. A value is never an argument:
the shell's history and the list of processes show arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

import click
from rich.markup import escape

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console

_SHOWN = ("namespace", "name", "created_at", "changed_at")


def _namespace(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--namespace", metavar="NAME", help="Needed if your key may access several namespaces."
    )(function)


@click.group()
def secret() -> None:
    """Secrets of workflows; expressions read them as $secrets."""


@secret.command("set")
@click.argument("name")
@_namespace
@click.option("--file", type=click.File(encoding="utf-8"), help="Read the value from a file.")
@shared_options
def set_(shared: Shared, name: str, namespace: str | None, file: IO[str] | None) -> None:
    """Set a secret to a typed value, or to the text of stdin.

    If the text is a JSON object, expressions can read its members: $secrets.db.password.
    """
    value = _value(name, file)
    if not value:
        raise Failure("the secret is empty", Exit.USAGE)
    with shared.client() as client:
        client.set_secret(name, value, namespace)
    progress_console().print(f"[green]set[/] {escape(name)}")


@secret.command("list")
@_namespace
@shared_options
def list_(shared: Shared, namespace: str | None) -> None:
    """List the names of secrets; values are never shown."""
    query = {"namespace": namespace} if namespace else {}
    with shared.client() as client:
        shared.printer.rows(client.pages("/v1/secrets", query), _SHOWN)


@secret.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_namespace
@shared_options
def delete(shared: Shared, names: Sequence[str], namespace: str | None) -> None:
    """Delete secrets."""
    with shared.client() as client:
        for name in names:
            client.delete_secret(name, namespace)
            progress_console().print(f"[green]deleted[/] {escape(name)}")


@secret.command()
@shared_options
def rotate(shared: Shared) -> None:
    """Encrypt every secret again, with the newest key."""
    with shared.client() as client:
        rotated = client.rotate_secrets()
    shared.printer.value(rotated.data)
    if rotated.unreadable:
        raise Failure("none of the keys decrypts some of the secrets; set them again")


@secret.command("new-key")
def new_key_() -> None:
    """Print a new key for ORCHESTRATOR_SECRETS_KEY."""
    from orchestrator.secrets.encryption import new_key

    click.echo(new_key())


def _value(name: str, file: IO[str] | None) -> str:
    if file is None and sys.stdin.isatty():
        typed: str = click.prompt(name, hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return (file or sys.stdin).read().rstrip("\n")
