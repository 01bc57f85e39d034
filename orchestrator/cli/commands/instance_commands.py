"""`suspend`, `resume`, `cancel`, `terminate`, `retry`, `compensate`, `skip`: commands to
instances."""

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

_reason = click.option("--reason", help="A reason, stored in the history.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only show what it would do.")


def _for_many(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments of a command that accepts many instances."""
    options: list[Callable[..., Any]] = [
        click.argument("ids", nargs=-1, metavar="ID...", shell_complete=instances),
        click.option(
            "--query", metavar="FILTER", help="All that match 'status=running&workflow=a/b'."
        ),
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        _reason,
        shared_options,
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@_for_many
def suspend(shared: Shared, **chosen: Any) -> None:
    """Let running steps finish, and start no new steps until resumed."""
    _send_to_all(shared, "suspend", **chosen)


@click.command()
@_for_many
def resume(shared: Shared, **chosen: Any) -> None:
    """Continue suspended instances."""
    _send_to_all(shared, "resume", **chosen)


@click.command()
@_for_many
@click.option("--dry-run", is_flag=True, help="Only show what would be undone, in this order.")
def cancel(shared: Shared, dry_run: bool, **chosen: Any) -> None:
    """Stop instances and undo their completed steps."""
    if not dry_run:
        _send_to_all(shared, "cancel", **chosen)
        return
    if not chosen["ids"]:
        raise click.UsageError("--dry-run needs the ids of instances")
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
@click.option(
    "--from", "step", metavar="STEP", help="Start again at this step: its number or name."
)
@click.option(
    "-i",
    "--input",
    type=JsonValue(),
    help="A new input for that step, which reads it as . and $input.",
)
@click.option(
    "--workflow-input",
    type=JsonValue(),
    help="A new input of the workflow, read as $workflow.input from then on.",
)
@_dry_run
@_reason
@shared_options
def retry(
    shared: Shared,
    id: str,
    step: str | None,
    input: Any,
    workflow_input: Any,
    dry_run: bool,
    reason: str | None,
) -> None:
    """Run the failed steps again, as a new run. Completed steps are not repeated, also in
    sub-workflows."""
    with shared.client() as client:
        id = find_instance(client, id)
        start = None if step is None else step_number(client, id, step)
        edited = {"input": input, "workflow_input": workflow_input, "from": start}
        if dry_run:
            _show_plan(shared, client.plan(id, "retry", **edited))
            return
        _send_command(client, id, "retry", reason=reason, **edited)


@click.command()
@instance_id
@click.option(
    "--to",
    "step",
    metavar="STEP",
    help="Undo the steps after this one: its number or name.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be undone, in this order.")
@_reason
@shared_options
def compensate(
    shared: Shared, id: str, step: str | None, dry_run: bool, reason: str | None
) -> None:
    """Undo the completed steps of an ended instance."""
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
@click.option("-d", "--data", type=JsonValue(), help="The output of the step.")
@_dry_run
@_reason
@shared_options
def skip(shared: Shared, id: str, step: str, data: Any, dry_run: bool, reason: str | None) -> None:
    """Complete a step that waits or failed, without running it, with the output of --data."""
    with shared.client() as client:
        id = find_instance(client, id)
        chosen = {"step": step_number(client, id, step), "output": data}
        if dry_run:
            _show_plan(shared, client.plan(id, "skip", **chosen))
            return
        _send_command(client, id, "skip", reason=reason, **chosen)


def _show_plan(shared: Shared, plan: dict[str, Any]) -> None:
    """Print what a command would do."""
    if not shared.printer.table:
        shared.printer.value(plan)
        return
    rows = [{**each, "what": what} for what in ("runs", "undoes", "keeps") for each in plan[what]]
    shared.printer.rows(rows, ("what", "step", "name", "reference", "note"))
    for warning in plan["warnings"]:
        progress_console().print(f"[yellow]{escape(warning)}[/]")


def _preview(shared: Shared, client: Client, id: str) -> None:
    """Print what would be undone: first the completed steps, then those that a worker still
    runs."""
    answer = client.transport.json("GET", path("instances", id, "compensation"))
    rows = [{**each, "if": ""} for each in answer["plan"]]
    rows += [{**each, "if": "it succeeds"} for each in answer["running"]]
    shared.printer.rows(rows, ("step", "name", "reference", "kind", "outcome", "instance", "if"))


def _send_to_all(
    shared: Shared,
    command: str,
    ids: Sequence[str],
    query: str | None,
    yes: bool,
    reason: str | None,
) -> None:
    """Send the command to each instance. A refusal does not stop the rest; all are reported at the
    end, in one `Failure`."""
    if bool(ids) == bool(query):
        raise click.UsageError("name the instances either by their ids or by --query")
    refused: list[tuple[str, Failure]] = []  # the line to print, and the failure
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
    answer = client.command(id, command, **arguments)
    more = "" if answer.get("decided", True) else "; a control worker must still decide it"
    progress_console().print(f"[green]{command}[/] {escape(id)}: accepted{more}")
