"""`workflow list|show|versions|delete`: what is deployed."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import workflows
from orchestrator.cli.options import Shared, limit_option, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.cli.terminal_text import visible_lines

_LISTED = ("namespace", "name", "version", "title", "created_at")
_VERSIONS = ("namespace", "name", "version", "digest", "created_at")

_name = click.argument("name", metavar="NAMESPACE/NAME", shell_complete=workflows)
_version = click.option("--version", help="This version; default: the newest.")


@click.group()
def workflow() -> None:
    """Deployed workflows: list them, read them back, remove them."""


@workflow.command("list")
@click.option("--namespace", help="Of one namespace only.")
@click.option("--query", "q", metavar="TEXT", help="Those with this text in their name.")
@limit_option
@shared_options
def list_(shared: Shared, limit: int, **filters: str | None) -> None:
    """List workflows, each with its newest version."""
    query = {name: value for name, value in filters.items() if value is not None}
    with shared.client() as client:
        shared.printer.rows(islice(client.workflows(**query), limit or None), _LISTED)


@workflow.command()
@_name
@_version
@shared_options
def show(shared: Shared, name: str, version: str | None) -> None:
    """Print a document as it was deployed; as JSON or YAML also what is known of it."""
    with shared.client() as client:
        found = client.workflow(name, version)
        if not shared.printer.table:
            shared.printer.value(found)
            return
        text = client.source(name, found["version"])
    whole = (text or "").rstrip("\n")
    # A file is given the document as it is, a terminal as it can be read.
    click.echo(visible_lines(whole) if sys.stdout.isatty() else whole)


@workflow.command()
@_name
@shared_options
def versions(shared: Shared, name: str) -> None:
    """List every version of a workflow, newest first."""
    with shared.client() as client:
        shared.printer.rows(client.versions(name), _VERSIONS)


@workflow.command()
@_name
@click.option("--version", help="Only this version; default: the workflow with all of them.")
@click.option("--yes", is_flag=True, help="Don't ask before removing all versions.")
@shared_options
def delete(shared: Shared, name: str, version: str | None, yes: bool) -> None:
    """Remove a workflow, or one version of it; not while instances of it run."""
    with shared.client() as client:
        if version is None and not yes:
            found: list[dict[str, Any]] = list(client.versions(name))
            question = f"delete {name} with all its versions ({len(found)})?"
            click.confirm(question, abort=True, err=True)
        client.delete_workflow(name, version)
    what = name if version is None else f"{name} {version}"
    progress_console().print(f"[green]deleted[/] {escape(what)}")
