"""`operation start|list|show|stop`: one command to many instances, or about many dead letters."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

import click
from rich.markup import escape

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_id
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import Client, Operation

_SHOWN = ("id", "created_at", "action", "state", "matches", "reached", "by", "filter")
_PATH = "/v1/operations"
#: How often to look how far an operation is, in s.
_LOOK = 0.3


@click.group()
def operation() -> None:
    """One command to many instances, worked off in the background."""


@operation.command()
@click.argument("action")
@click.option("--query", required=True, metavar="FILTER", help="As 'status=faulted&workflow=a/b'.")
@click.option("--dry-run", is_flag=True, help="Only count, and show the first of them.")
@click.option("--yes", is_flag=True, help="Don't ask before doing it.")
@click.option("--wait/--no-wait", default=True, help="Wait until it has ended; the default.")
@click.option("--reason", help="Why; kept in the history.")
@shared_options
def start(
    shared: Shared,
    action: str,
    query: str,
    dry_run: bool,
    yes: bool,
    wait: bool,
    reason: str | None,
) -> None:
    """Give a command to all that a filter names.

    ACTION is retry, cancel, suspend, resume, terminate, compensate, dead-letter.retry or
    dead-letter.resolve.
    """
    with shared.client() as client:
        if dry_run:
            shared.printer.value(client.preview(action, parsed(query)).data)
        else:
            made = run_bulk(client, action, query, yes, reason, wait)
            if made is not None:
                shared.printer.value(made.data)


@operation.command("list")
@click.option("--state", help="Such as running,pending.")
@shared_options
def list_(shared: Shared, state: str | None) -> None:
    """List operations, the newest first."""
    with shared.client() as client:
        shared.printer.rows(client.pages(_PATH, {"state": state} if state else {}), _SHOWN)


@operation.command()
@click.argument("id")
@shared_options
def show(shared: Shared, id: str) -> None:
    """Show an operation and how far it is."""
    with shared.client() as client:
        shared.printer.value(client.operation(find_id(client, _PATH, id)).data)


@operation.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@shared_options
def stop(shared: Shared, ids: tuple[str, ...]) -> None:
    """Stop operations; whom they have reached stays reached."""
    with shared.client() as client:
        for id in (find_id(client, _PATH, id) for id in ids):
            told = client.stop_operation(id)
            done = f"{told.reached} of {told.matches} reached"
            progress_console().print(f"[green]stopped[/] {escape(id)}: {done}")


def parsed(query: str) -> dict[str, str]:
    """A filter as the API takes it."""
    try:
        found = dict(parse_qsl(query, strict_parsing=True))
    except ValueError as error:
        raise click.UsageError(f"--query is of the form 'a=b&c=d' ({error})") from None
    return found


def run_bulk(
    client: Client, action: str, query: str, yes: bool, reason: str | None, wait: bool = True
) -> Operation | None:
    """Make an operation, once somebody has agreed to the number that it reaches; the operation
    as it ended, or as it was made; None: there is nothing to reach."""
    filter = parsed(query)
    count = client.preview(action, filter).count
    if not count:
        progress_console().print("nothing matches")
        return None
    if not yes:
        what = "dead letters" if action.startswith("dead-letter.") else "instances"
        click.confirm(f"{action} {count} {what}?", abort=True, err=True)
    made = client.operate(action, filter, reason)
    progress_console().print(f"[green]{escape(action)}[/] operation {made.id}")
    return _ended(client, made) if wait else made


def _ended(client: Client, made: Operation) -> Operation:
    """Follow an operation to its end."""
    told = -1
    while not made.ended:
        time.sleep(_LOOK)  # its progress is a row to look at; nothing tells of it
        made = client.operation(made.id)
        if made.reached != told:
            told = made.reached
            progress_console().print(f"{told} of {made.matches}")
    if made.state != "completed":
        raise Failure(f"the operation {made.state}: {made.error or ''}", Exit.FAULTED)
    return made
