"""`operation start|list|show|stop`: bulk operations on instances or dead letters."""

from __future__ import annotations

import time
from itertools import islice
from urllib.parse import parse_qsl

import click
from rich.markup import escape

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_id
from orchestrator.cli.options import Shared, limit_option, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import Client, Operation

_SHOWN = ("id", "created_at", "action", "state", "matches", "reached", "by", "filter")
_OUTCOME = ("instance", "business_id", "outcome", "reason", "status", "compensation")
_PATH = "/v1/operations"
#: Time between two requests for an operation's progress, in seconds.
_POLL_INTERVAL = 0.3


@click.group()
def operation() -> None:
    """Bulk operations: one command to many instances, run in the background."""


@operation.command()
@click.argument("action")
@click.option(
    "--query", required=True, metavar="FILTER", help="Such as 'status=faulted&workflow=a/b'."
)
@click.option("--dry-run", is_flag=True, help="Only count the matches and show the first ones.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--wait/--no-wait", default=True, help="Wait for its end; the default.")
@click.option("--reason", help="A reason, stored in the history.")
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
    """Send a command to all instances that match a filter.

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
@click.option("--outcomes", is_flag=True, help="List what became of each instance.")
@limit_option
@shared_options
def show(shared: Shared, id: str, outcomes: bool, limit: int) -> None:
    """Show an operation, its progress, and what became of each instance."""
    with shared.client() as client:
        found = client.operation(find_id(client, _PATH, id)).data
        if outcomes:
            rows = client.pages(f"{_PATH}/{found['id']}/outcomes")
            shared.printer.rows(islice(rows, limit or None), _OUTCOME)
        else:
            shared.printer.value(found)


@operation.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@shared_options
def stop(shared: Shared, ids: tuple[str, ...]) -> None:
    """Stop operations. Instances that they have reached already keep the command."""
    with shared.client() as client:
        for id in (find_id(client, _PATH, id) for id in ids):
            stopped = client.stop_operation(id)
            done = f"{stopped.reached} of {stopped.matches} reached"
            progress_console().print(f"[green]stopped[/] {escape(id)}: {done}")


def parsed(query: str) -> dict[str, str]:
    """Parse ``a=b&c=d`` into the filter of the API."""
    try:
        filter = dict(parse_qsl(query, strict_parsing=True))
    except ValueError as error:
        raise click.UsageError(f"--query must have the form 'a=b&c=d' ({error})") from None
    return filter


def run_bulk(
    client: Client, action: str, query: str, yes: bool, reason: str | None, wait: bool = True
) -> Operation | None:
    """Start a bulk operation after the user has confirmed the number of matches.

    Returns the operation as it ended, or with `wait` false as it started; None: nothing matches.
    """
    filter = parsed(query)
    count = client.preview(action, filter).count
    if not count:
        progress_console().print("nothing matches")
        return None
    if not yes:
        targets = "dead letters" if action.startswith("dead-letter.") else "instances"
        click.confirm(f"{action} {count} {targets}?", abort=True, err=True)
    made = client.operate(action, filter, reason)
    progress_console().print(f"[green]{escape(action)}[/] operation {made.id}")
    return _ended(client, made) if wait else made


def _ended(client: Client, made: Operation) -> Operation:
    """Wait for the end of an operation and print its progress. Raises `Failure` if it failed."""
    printed = -1
    while not made.ended:
        time.sleep(_POLL_INTERVAL)  # the API sends no events about operations
        made = client.operation(made.id)
        if made.reached != printed:
            printed = made.reached
            progress_console().print(f"{printed} of {made.matches}")
    if made.state != "completed":
        raise Failure(f"the operation {made.state}: {made.error or ''}", Exit.FAULTED)
    return made
