"""`list`, `show`, `history` and `watch`: looking at instances."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import instance_id
from orchestrator.cli.exits import exit_of, leave
from orchestrator.cli.follow import error_line, follow
from orchestrator.cli.lookup import find_instance
from orchestrator.cli.options import KeyValue, Shared, limit_option, shared_options
from orchestrator.cli.output import progress_console, stdout_console
from orchestrator.cli.story import Names, clock, facts_of, names_of
from orchestrator.cli.tree import step_tree

_LISTED = ("id", "workflow", "version", "status", "compensation", "started_at", "business_id")


@click.command("list")
@click.option("--status", help="One or more statuses: faulted,cancelled")
@click.option("--compensation", help="none, running, completed or failed.")
@click.option("--workflow", help="namespace/name")
@click.option("--label", "labels", type=KeyValue(), multiple=True, help="A label; repeatable.")
@limit_option
@shared_options
def list_instances(
    shared: Shared, labels: Sequence[tuple[str, str]], limit: int, **filters: str | None
) -> None:
    """List instances, newest first."""
    query = {name: value for name, value in filters.items() if value}
    query |= {f"label.{name}": value for name, value in labels}
    with shared.client() as client:
        runs = islice(client.instances(**query), limit or None)
        if shared.printer.table:
            shared.printer.rows(
                ({**r.data, "workflow": r.workflow, "version": r.version} for r in runs), _LISTED
            )
        else:
            shared.printer.rows((run.data for run in runs), _LISTED)


@click.command()
@instance_id
@shared_options
def show(shared: Shared, id: str) -> None:
    """Show an instance and the tree of its steps."""
    with shared.client() as client:
        id = find_instance(client, id)
        run, steps = client.get(id), client.steps(id)
    if not shared.printer.table:
        shared.printer.value({**run.data, "steps": [step.data for step in steps]})
        return
    console = stdout_console()
    console.print(run.id, soft_wrap=True)
    console.print(step_tree(run, steps))
    if run.error:
        console.print(f"[red]{escape(error_line(run.error))}[/]", soft_wrap=True)
    if run.status == "completed":
        shared.printer.value(run.output)


@click.command(short_help="Show what happened to an instance.")
@instance_id
@shared_options
def history(shared: Shared, id: str) -> None:
    """Show what happened to an instance: one transition after the other."""
    with shared.client() as client:
        id = find_instance(client, id)
        entries = client.history(id)
        if not shared.printer.table:
            shared.printer.rows(entries, ())
            return
        names = names_of(client.steps(id))
        rows = [row for entry in entries for row in _rows(entry, names)]
    shared.printer.rows(rows, ("sequence", "at", "stimulus", "fact"))


def _rows(entry: dict[str, Any], names: Names) -> list[dict[str, Any]]:
    """A row a fact; one without a fact where a transition brought none about."""
    start = {
        "sequence": entry["sequence"],
        "at": clock(entry),
        "stimulus": entry["stimulus"].get("kind"),
    }
    return [start | {"fact": fact.sentence(names)} for fact in facts_of(entry)] or [start]


@click.command()
@instance_id
@shared_options
def watch(shared: Shared, id: str) -> None:
    """Follow an instance until it ends; the exit status tells how."""
    with shared.client() as client:
        id = find_instance(client, id)
        if shared.printer.table:
            leave(exit_of(follow(client, client.get(id), float("inf"), progress_console())))
        for entry in client.watch(id):
            shared.printer.rows([entry], ()) if shared.format == "jsonl" else shared.printer.value(
                entry
            )
        leave(exit_of(client.get(id)))
