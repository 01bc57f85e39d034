"""`workflow list|show|versions|delete`: deployed workflows."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import workflows
from orchestrator.cli.options import Shared, limit_option, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.terminal_text import visible_lines

_LISTED = ("namespace", "name", "version", "title", "created_at")
_VERSIONS = ("namespace", "name", "version", "digest", "created_at")

_name = click.argument("name", metavar="NAMESPACE/NAME", shell_complete=workflows)
_version = click.option("--version", help="A version; default: the newest.")


@click.group()
def workflow() -> None:
    """Deployed workflows: list, show or delete them."""


@workflow.command("list")
@click.option("--namespace", help="Only workflows of this namespace.")
@click.option("--query", "q", metavar="TEXT", help="Only workflows with this text in the name.")
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
    """Print a document as it was deployed; with -o json or yaml, also its version and digest."""
    with shared.client() as client:
        deployed = client.workflow(name, version)
        if not shared.printer.table:
            shared.printer.value(deployed)
            return
        source = client.source(name, deployed["version"])
    text = (source or "").rstrip("\n")
    # Write the exact document to a file or a pipe. For a terminal, escape the characters that would
    # act on it.
    click.echo(visible_lines(text) if sys.stdout.isatty() else text)


@workflow.command()
@_name
@shared_options
def versions(shared: Shared, name: str) -> None:
    """List every version of a workflow, newest first."""
    with shared.client() as client:
        shared.printer.rows(client.versions(name), _VERSIONS)


@workflow.command()
@_name
@click.option("--version", help="Only this version; default: all versions.")
@click.option("--yes", is_flag=True, help="Do not ask before all versions are deleted.")
@shared_options
def delete(shared: Shared, name: str, version: str | None, yes: bool) -> None:
    """Delete a workflow or one version of it. Refused while instances of it run."""
    with shared.client() as client:
        if version is None and not yes:
            versions: list[dict[str, Any]] = list(client.versions(name))
            question = f"delete {name} with all its versions ({len(versions)})?"
            click.confirm(question, abort=True, err=True)
        client.delete_workflow(name, version)
    deleted = name if version is None else f"{name} {version}"
    progress_console().print(f"[green]deleted[/] {escape(deleted)}")
