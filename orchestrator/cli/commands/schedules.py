"""`schedule list|next|ledger|pause|resume|trigger|backfill`: recurring starts.

A schedule is named by its id or by its workflow, ``shop/report``. If the workflow has several
schedules, the kind follows after a colon: ``shop/report:cron``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import schedules
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_id, is_beginning, is_id
from orchestrator.cli.options import JsonValue, Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import Client
from orchestrator.client.url_paths import path

_SHOWN = ("id", "namespace", "workflow", "version", "kind", "state", "timing", "next_at")
_FIRED = ("due", "reason", "outcome", "why", "fired_at", "delay_seconds", "instance")

_name = click.argument("name", metavar="SCHEDULE", shell_complete=schedules)
_names = click.argument(
    "names", nargs=-1, required=True, metavar="SCHEDULE...", shell_complete=schedules
)
_reason = click.option("--reason", help="A reason, stored in the audit log.")


@click.group()
def schedule() -> None:
    """Schedules, the recurring starts: due times, firings, pause, resume, trigger, backfill."""


@schedule.command("list")
@click.option("--namespace", help="Only schedules of this namespace.")
@click.option("--all", "everything", is_flag=True, help="Include stopped schedules.")
@shared_options
def list_(shared: Shared, namespace: str | None, everything: bool) -> None:
    """List schedules."""
    query = {"namespace": namespace} if namespace else {}
    query |= {} if everything else {"state": "active,paused"}
    with shared.client() as client:
        shared.printer.rows(client.pages("/v1/schedules", query), _SHOWN)


@schedule.command("next")
@_name
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, show_default=True)
@shared_options
def next_(shared: Shared, name: str, count: int) -> None:
    """Show the next due times."""
    with shared.client() as client:
        answer = client.transport.json("GET", _path(client, name), params={"next": count})
    shared.printer.rows(answer["next"], ("due", "fires_at"))


@schedule.command()
@_name
@click.option("--outcome", help="One or more outcomes: skipped,queued")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Largest number of rows; 0: all.",
)
@shared_options
def ledger(shared: Shared, name: str, outcome: str | None, limit: int) -> None:
    """Show the past due times and their results, the latest first."""
    query = {"outcome": outcome} if outcome else {}
    with shared.client() as client:
        pages = client.pages(f"{_path(client, name)}/firings", query)
        rows = (row for number, row in enumerate(pages) if not limit or number < limit)
        shared.printer.rows(rows, _FIRED)


@schedule.command()
@_names
@_reason
@shared_options
def pause(shared: Shared, names: Sequence[str], reason: str | None) -> None:
    """Start nothing until resumed."""
    _change(shared, names, {"paused": True}, reason)


@schedule.command()
@_names
@_reason
@shared_options
def resume(shared: Shared, names: Sequence[str], reason: str | None) -> None:
    """Continue from now on; `backfill` fires the due times of the pause."""
    _change(shared, names, {"paused": False}, reason)


@schedule.command()
@_name
@click.option("-i", "--input", type=JsonValue(), help="Input in place of the schedule's own.")
@_reason
@shared_options
def trigger(shared: Shared, name: str, input: Any, reason: str | None) -> None:
    """Start an instance now and print its id."""
    body = {} if input is None else {"input": input}
    with shared.client() as client:
        fired = _post(client, f"{_path(client, name)}/trigger", body, reason)
    if shared.printer.table:
        click.echo(fired["instance"])
    else:
        shared.printer.value(fired)


@schedule.command()
@_name
@click.option(
    "--from",
    "first",
    required=True,
    metavar="TIME",
    help="The first due time: 2030-01-31T00:00:00Z.",
)
@click.option("--to", "last", required=True, metavar="TIME", help="The last due time, included.")
@_reason
@shared_options
def backfill(shared: Shared, name: str, first: str, last: str, reason: str | None) -> None:
    """Fire the due times of a range that did not fire."""
    with shared.client() as client:
        at = f"{_path(client, name)}/backfill"
        answer = _post(client, at, {"from": first, "to": last}, reason)
    shared.printer.rows(answer["items"], _FIRED)


def _change(shared: Shared, names: Sequence[str], body: dict[str, Any], reason: str | None) -> None:
    with shared.client() as client:
        for name in names:
            content = body | ({"reason": reason} if reason else {})
            schedule = client.transport.json("PATCH", _path(client, name), json=content)
            progress_console().print(f"[green]{schedule['state']}[/] {escape(name)}")


def _post(client: Client, at: str, body: dict[str, Any], reason: str | None) -> Any:
    content = body | ({"reason": reason} if reason else {})
    return client.transport.json("POST", at, json=content)


def _path(client: Client, name: str) -> str:
    return path("schedules", _id(client, name))


def _id(client: Client, name: str) -> str:
    """Return the id of the schedule that `name` means; raise `Failure` for none or several."""
    if is_beginning(name) and (is_id(name) or not _by_workflow(client, name)):
        return find_id(client, "/v1/schedules", name)
    matches = _by_workflow(client, name)
    if not matches:
        raise Failure(f"there is no schedule {name!r}", Exit.NOT_FOUND)
    if len(matches) > 1:
        kinds = ", ".join(f"{name}:{each['kind']}" for each in matches)
        raise Failure(f"{name} has several schedules: {kinds}")
    return str(matches[0]["id"])


def _by_workflow(client: Client, name: str) -> list[dict[str, Any]]:
    """Return the schedules of the workflow ``namespace/name`` or ``namespace/name:kind``."""
    workflow, _, kind = name.partition(":")
    namespace, _, workflow = workflow.rpartition("/")
    query = {"namespace": namespace or "default", "workflow": workflow}
    return [each for each in client.pages("/v1/schedules", query) if kind in ("", each["kind"])]
