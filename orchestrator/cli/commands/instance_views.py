"""`list`, `show`, `history` and `watch`: the state of instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import instance_id
from orchestrator.cli.exit_codes import exit_of, exit_with
from orchestrator.cli.id_lookup import find_instance, step_number
from orchestrator.cli.options import KeyValue, PastTime, Shared, limit_option, shared_options
from orchestrator.cli.output import progress_console, stdout_console
from orchestrator.cli.views.history_lines import (
    Names,
    clock,
    error_line,
    facts_of,
    names_of,
    stimulus_of,
)
from orchestrator.cli.views.live_view import follow
from orchestrator.cli.views.step_details import step_lines
from orchestrator.cli.views.step_tree import step_tree
from orchestrator.client import Client, Run, Step
from orchestrator.client.url_paths import path

_LISTED = ("id", "workflow", "version", "status", "compensation", "started_at", "business_id")


@click.command("list")
@click.option("--status", help="One or more statuses: faulted,cancelled")
@click.option("--compensation", help="none, running, completed or failed.")
@click.option("--workflow", help="namespace/name")
@click.option("--parent", metavar="ID", help="Only sub-workflows of this instance.")
@click.option("--label", "labels", type=KeyValue(), multiple=True, help="A label; repeatable.")
@click.option("--business-id", help="Your own id, in full.")
@click.option("--since", "started_after", type=PastTime(), help="Started after TIME.")
@click.option("--until", "started_before", type=PastTime(), help="Started before TIME.")
@click.option(
    "--attention", help="stuck, dead_letter, outcome_unknown, held, retrying or any; says why."
)
@click.option("--waiting-for", help="task, event, timer, retry or workflow; says why.")
@click.option("--error-type", help="Type of the instance's error.")
@limit_option
@shared_options
def list_instances(
    shared: Shared,
    labels: Sequence[tuple[str, str]],
    limit: int,
    error_type: str | None,
    **filters: str | None,
) -> None:
    """List instances, newest first.

    TIME is RFC 3339 (2030-01-31T12:00:00Z), a date, or a duration before now: 90s, 15m, 2h, 7d.
    """
    query = {name: value for name, value in filters.items() if value is not None}
    query |= {f"label.{name}": value for name, value in labels}
    query |= {"error.type": error_type} if error_type is not None else {}
    columns = (*_LISTED, "why") if {"attention", "waiting_for"} & query.keys() else _LISTED
    with shared.client() as client:
        runs = islice(client.instances(**query), limit or None)
        if shared.printer.table:
            shared.printer.rows((_row(run) for run in runs), columns)
            _mention_unstarted(client, query)
        else:
            shared.printer.rows((run.data for run in runs), _LISTED)


def _row(run: Run) -> dict[str, Any]:
    why = (run.data.get("why") or {}).get("message")
    return {**run.data, "workflow": run.workflow, "version": run.version, "why": why}


def _mention_unstarted(client: Client, query: Mapping[str, str]) -> None:
    """Say on stderr that a filter by start times left out instances that wait for their start."""
    others = {k: v for k, v in query.items() if k not in ("started_after", "started_before")}
    if len(others) == len(query) or others.get("status", "pending") != "pending":
        return
    if next(iter(client.instances(**{**others, "status": "pending"})), None) is not None:
        text = "instances that have not started are not listed: orchestrator list --status pending"
        progress_console().print(f"[dim]{text}[/]")


@click.command(short_help="Show an instance, or one of its steps.")
@instance_id
@click.argument("step", required=False)
@click.option("--time", "by_time", is_flag=True, help="Show where its time went.")
@shared_options
def show(shared: Shared, id: str, step: str | None, by_time: bool) -> None:
    """Show an instance and the tree of its steps.

    With STEP (a number or the name of its task), show the details of that step: arguments,
    input, output, and every attempt with its error and traceback.
    """
    with shared.client() as client:
        id = find_instance(client, id)
        if step is not None:
            _show_step(shared, client, id, step)
            return
        if by_time:
            _show_time(shared, client.transport.json("GET", path("instances", id, "time")))
            return
        run, steps = client.get(id), client.steps(id)
    if not shared.printer.table:
        shared.printer.value({**run.data, "steps": [step.data for step in steps]})
        return
    console = stdout_console()
    console.print(run.id, soft_wrap=True)
    console.print(step_tree(run, steps))
    if run.error:
        console.print(f"[red]{escape(error_line(run.error))}[/]", soft_wrap=True)
        hint = f"arguments, attempts and tracebacks of a step: orchestrator show {run.id} STEP"
        progress_console().print(f"[dim]{hint}[/]")
    if run.status == "completed":
        shared.printer.value(run.output)


def _show_time(shared: Shared, account: dict[str, Any]) -> None:
    """Print the seconds of the instance and of its longest steps by kind. A star marks the steps of
    the critical path."""
    if not shared.printer.table:
        shared.printer.value(account)
        return
    critical = {each["step"] for each in account["path"]}
    whole = {"task": "(the instance)", "total": account["total_ms"], **account["parts"]}
    rows = [whole]
    for each in account["steps"]:
        star = "*" if each["step"] in critical else ""
        task = f"{each['step']} {each['name']}"
        rows.append({"path": star, "task": task, "total": each["total_ms"], **each["parts"]})
    names = [name for name in account["parts"] if any(row[name] for row in rows)]
    numbers = ("total", *names)
    seconds = ({**row, **{name: f"{row[name] / 1000:.3f}" for name in numbers}} for row in rows)
    shared.printer.rows(seconds, ("path", "task", *numbers))


def _show_step(shared: Shared, client: Client, id: str, step: str) -> None:
    number = step_number(client, id, step)
    data = client.transport.json("GET", path("instances", id, "steps", number))
    if not shared.printer.table:
        shared.printer.value(data)
        return
    for line in step_lines(Step.from_json(data)):
        stdout_console().print(escape(line), soft_wrap=True)


@click.command(short_help="Show the history of an instance.")
@instance_id
@shared_options
def history(shared: Shared, id: str) -> None:
    """Show the history of an instance: its transitions in order."""
    with shared.client() as client:
        id = find_instance(client, id)
        entries = client.history(id)
        if not shared.printer.table:
            shared.printer.rows(entries, ())
            return
        names = names_of(client.steps(id))
        rows = [row for entry in entries for row in _rows(entry, names)]
    shared.printer.rows(rows, ("sequence", "at", "stimulus", "fact", "details"))


def _rows(entry: dict[str, Any], names: Names) -> list[dict[str, Any]]:
    """Return one row for each fact, or a row without a fact for a transition that has none."""
    start = {
        "sequence": entry["sequence"],
        "at": clock(entry),
        "stimulus": stimulus_of(entry),
    }
    facts = [
        {"fact": fact.fact_and_step(names), "details": fact.details()} for fact in facts_of(entry)
    ]
    return [start | fact for fact in facts] or [start | {"details": ""}]


@click.command()
@instance_id
@shared_options
def watch(shared: Shared, id: str) -> None:
    """Follow an instance until it ends; the exit status says how it ended."""
    with shared.client() as client:
        id = find_instance(client, id)
        if shared.printer.table:
            exit_with(exit_of(follow(client, client.get(id), float("inf"), progress_console())))
        for entry in client.watch(id):
            shared.printer.rows([entry], ()) if shared.format == "jsonl" else shared.printer.value(
                entry
            )
        exit_with(exit_of(client.get(id)))
