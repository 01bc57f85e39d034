"""`why ID`: the cause of standing still, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import instance_id
from orchestrator.cli.lookup import find_instance
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import stdout_console
from orchestrator.client import Client

#: Sub-workflows are followed this deep.
DEEPEST = 10

#: What a person can do, by the kind of the cause; the cause's own members fill it in.
ADVICE = {
    "engine": "start workers of the release that started it, or of a later one",
    "suspended": "orchestrator resume {id}",
    "broker": "start the broker, or set ORCHESTRATOR_BROKER_URL: the beats send all again",
    "no-control": "orchestrator worker -Q {queue}",
    "stuck": "read the workers' log; then orchestrator terminate {id}",
    "no-worker": "orchestrator worker -Q {queue}",
    "no-processes": "orchestrator worker --pool prefork -Q {queue}",
    "no-task": "add the task's module to ORCHESTRATOR_IMPORTS of a worker of {queue}",
    "no-slot": "start one more: orchestrator worker -Q {queue}",
    "silent-worker": "orchestrator beat must run; orchestrator doctor looks further",
    "lease": "orchestrator beat must run; orchestrator doctor looks further",
    "no-beat": "orchestrator beat",
    "event": "orchestrator event send TYPE --to {id}",
    "dead-letter": "orchestrator dead-letter retry {dead_letter} (or resolve)",
}


@click.command()
@instance_id
@shared_options
def why(shared: Shared, id: str) -> None:
    """Say why an instance stands still, and what to do about it."""
    with shared.client() as client:
        id = find_instance(client, id)
        if not shared.printer.table:
            shared.printer.value(client.why(id))
            return
        for line in _lines(client, id):
            stdout_console().print(line, soft_wrap=True)


def _lines(client: Client, id: str, depth: int = 0) -> Iterator[str]:
    """One line a cause with its advice; those of a sub-workflow below its own."""
    found = client.why(id)
    margin = "  " * depth
    compensation = found["compensation"]
    undoing = "" if compensation == "none" else f", compensation {compensation}"
    yield f"{margin}[bold]{id}[/] {found['status']}{undoing}"
    for cause in found["causes"]:
        where = f"[cyan]{escape(cause['reference'])}[/] " if cause.get("reference") else ""
        yield f"{margin}  {where}{escape(cause['message'])} [dim]({cause['kind']})[/]"
        advice = _advice(cause, id)
        if advice:
            yield f"{margin}    [dim]→[/] {escape(advice)}"
        if cause["kind"] == "workflow" and depth < DEEPEST:
            yield from _lines(client, cause["instance"], depth + 2)


def _advice(cause: dict[str, Any], id: str) -> str | None:
    advice = ADVICE.get(cause["kind"])
    return advice and advice.format_map({"id": id, **cause})
