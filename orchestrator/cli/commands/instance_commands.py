"""`suspend`, `resume`, `cancel`, `terminate`, `retry`, `compensate`, `skip`: telling
instances what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.commands.bulk_operations import run_bulk
from orchestrator.cli.completion import instance_id, instances
from orchestrator.cli.exit_codes import Exit, Failure, failure_of
from orchestrator.cli.id_lookup import find_instance, step_number
from orchestrator.cli.options import JsonValue, Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import ApiError, Client
from orchestrator.client.url_paths import path

_reason = click.option("--reason", help="Why; kept in the history.")


def _for_many(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of a command that takes many instances."""
    options: list[Callable[..., Any]] = [
        click.argument("ids", nargs=-1, metavar="ID...", shell_complete=instances),
        click.option("--query", metavar="FILTER", help="All of 'status=running&workflow=a/b'."),
        click.option("--yes", is_flag=True, help="Don't ask before doing it to many."),
        _reason,
        shared_options,
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@_for_many
def suspend(shared: Shared, **chosen: Any) -> None:
    """Let running steps finish and start no more until resumed."""
    _send_to_all(shared, "suspend", **chosen)


@click.command()
@_for_many
def resume(shared: Shared, **chosen: Any) -> None:
    """Go on with suspended instances."""
    _send_to_all(shared, "resume", **chosen)


@click.command()
@_for_many
@click.option("--dry-run", is_flag=True, help="Only show what would be undone, in its order.")
def cancel(shared: Shared, dry_run: bool, **chosen: Any) -> None:
    """Stop instances and undo what they completed."""
    if not dry_run:
        _send_to_all(shared, "cancel", **chosen)
        return
    if not chosen["ids"]:
        raise click.UsageError("name the instances whose plans you want to see")
    with shared.client() as client:
        for id in chosen["ids"]:
            _preview(shared, client, find_instance(client, id))


@click.command()
@_for_many
def terminate(shared: Shared, **chosen: Any) -> None:
    """Stop instances and undo nothing."""
    _send_to_all(shared, "terminate", **chosen)


@click.command()
@instance_id
@click.option("--from", "step", metavar="STEP", help="Go back to this step: its number or name.")
@click.option(
    "-i",
    "--input",
    type=JsonValue(),
    help="Another input for that step: what it reads as . and $input.",
)
@click.option(
    "--workflow-input",
    type=JsonValue(),
    help="Another input of the workflow: what is read as $workflow.input from then on.",
)
@_reason
@shared_options
def retry(
    shared: Shared,
    id: str,
    step: str | None,
    input: Any,
    workflow_input: Any,
    reason: str | None,
) -> None:
    """Try again what failed; finished steps stay finished, in sub-workflows too."""
    with shared.client() as client:
        id = find_instance(client, id)
        start = None if step is None else step_number(client, id, step)
        edited = {"input": input, "workflow_input": workflow_input}
        _send_command(client, id, "retry", reason=reason, **edited, **{"from": start})


@click.command()
@instance_id
@click.option(
    "--to",
    "step",
    metavar="STEP",
    help="Back to this step, which itself stands: its number or name.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be undone, in its order.")
@_reason
@shared_options
def compensate(
    shared: Shared, id: str, step: str | None, dry_run: bool, reason: str | None
) -> None:
    """Undo what an ended instance completed."""
    with shared.client() as client:
        id = find_instance(client, id)
        if dry_run:
            _preview(shared, client, id)
            return
        back_to = None if step is None else step_number(client, id, step)
        _send_command(client, id, "compensate", reason=reason, step=back_to)


@click.command()
@instance_id
@click.argument("step")
@click.option("-d", "--data", type=JsonValue(), help="What the step's output is to be.")
@_reason
@shared_options
def skip(shared: Shared, id: str, step: str, data: Any, reason: str | None) -> None:
    """Let a step that stands still end with an output of yours."""
    with shared.client() as client:
        id = find_instance(client, id)
        _send_command(
            client, id, "skip", reason=reason, step=step_number(client, id, step), output=data
        )


def _preview(shared: Shared, client: Client, id: str) -> None:
    """What would be undone: first what was completed, then what a worker still has in hand."""
    told = client.transport.json("GET", path("instances", id, "compensation"))
    rows = [{**each, "if": ""} for each in told["plan"]]
    rows += [{**each, "if": "it succeeds"} for each in told["running"]]
    shared.printer.rows(rows, ("step", "name", "reference", "kind", "outcome", "instance", "if"))


def _send_to_all(
    shared: Shared,
    command: str,
    ids: Sequence[str],
    query: str | None,
    yes: bool,
    reason: str | None,
) -> None:
    """Give each instance the command; one refusal does not keep the others from it."""
    if bool(ids) == bool(query):
        raise click.UsageError("name instances by their ids or by --query")
    refused: list[tuple[str, Failure]] = []  # what to say, and the failure
    with shared.client() as client:
        if query:
            run_bulk(client, command, query, yes, reason)
        for id in ids:
            try:
                _send_command(client, find_instance(client, id), command, reason=reason)
            except ApiError as error:
                refused.append((f"{id}: {error}", failure_of(error)))
            except Failure as failure:
                refused.append((failure.message, failure))
    if refused:
        first = refused[0][1]
        lines = [line for line, _ in refused]
        raise Failure("\n".join(lines), Exit(first.exit_code), first.hint)


def _send_command(client: Client, id: str, command: str, **arguments: Any) -> None:
    told = client.command(id, command, **arguments)
    more = "" if told.get("decided", True) else ", and waits for a control worker to decide it"
    progress_console().print(f"[green]{command}[/] {escape(id)}: accepted{more}")
