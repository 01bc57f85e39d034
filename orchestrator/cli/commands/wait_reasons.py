"""`why ID`: why an instance makes no progress, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.completion import instance_id
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_instance, is_id
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import stdout_console
from orchestrator.client import ApiError, Client
from orchestrator.terminal_text import fill_command, visible, worker_start_command

#: Depth to which sub-workflows are followed.
MAX_DEPTH = 10

#: Advice by kind of cause; members of the cause replace the names in braces.
ADVICE = {
    "engine": "start workers of the release that started the instance, or of a later release",
    "suspended": "orchestrator resume {id}",
    "broker": "start the broker, or set ORCHESTRATOR_BROKER_URL; beats send the messages again",
    "no-control": "orchestrator worker -Q {queue}",
    "stuck": "read the log of the workers; then orchestrator terminate {id}",
    "no-worker": "{worker} -Q {queue}",
    "no-processes": "{worker} --pool prefork -Q {queue}",
    "no-task": "add the task's module to {modules} of a worker of {queue}",
    "no-slot": "start one more: {worker} -Q {queue}",
    "silent-worker": "start orchestrator beat; orchestrator doctor checks more",
    "lease": "start orchestrator beat; orchestrator doctor checks more",
    "no-beat": "orchestrator beat",
    "event": "orchestrator event send {event_arguments} --to {id}",
    "repaired-child": "orchestrator retry {id}",
    "dead-letter": "orchestrator dead-letter retry {dead_letter} (or resolve)",
}
#: Advice where no worker is alive: a control worker alone would run no step.
FIRST_WORKER = "orchestrator worker, or celery -A yourapp worker for the tasks of your own app"
#: Advice where the name of the task is similar to one that a worker has.
MISSPELT = "correct the name, deploy the document under a new version and start that"


@click.command()
@instance_id
@shared_options
def why(shared: Shared, id: str) -> None:
    """Say why an instance makes no progress, or why an event matched no listener, and what to do
    about it."""
    with shared.client() as client:
        try:
            id, of_event = find_instance(client, id), False
        except Failure as failure:
            id, of_event = _event_id(client, id, failure), True
        if not shared.printer.table:
            shared.printer.value(client.why_event(id) if of_event else client.why(id))
            return
        for line in _event_lines(client, id) if of_event else _lines(client, id):
            stdout_console().print(line, soft_wrap=True)


def _event_id(client: Client, text: str, failure: Failure) -> str:
    """Return the id of the event that a text names; raise `failure` if there is none."""
    if not is_id(text) or failure.exit_code != Exit.NOT_FOUND:
        raise failure
    try:
        return str(client.why_event(text)["id"])
    except ApiError as error:
        raise (failure if error.status == 404 else error) from None


def _event_lines(client: Client, id: str) -> Iterator[str]:
    answer = client.why_event(id)
    yield f"[bold]{id}[/] event in {escape(answer['namespace'])}"
    for cause in answer["causes"]:
        yield f"  {escape(cause['message'])} [dim]({cause['kind']})[/]"
        if cause["kind"] in ADVICE:
            yield f"    [dim]→[/] {escape(str(_advice(cause, id)))}"


def _lines(client: Client, id: str, depth: int = 0) -> Iterator[str]:
    """Yield a line for each cause and its advice, followed by the causes of a sub-workflow."""
    answer = client.why(id)
    margin = "  " * depth
    compensation = answer["compensation"]
    suffix = "" if compensation == "none" else f", compensation {compensation}"
    yield f"{margin}[bold]{id}[/] {answer['status']}{suffix}"
    for cause in answer["causes"]:
        where = f"[cyan]{escape(cause['reference'])}[/] " if cause.get("reference") else ""
        yield f"{margin}  {where}{escape(cause['message'])} [dim]({cause['kind']})[/]"
        advice = _advice(cause, id)
        if advice:
            yield f"{margin}    [dim]→[/] {escape(advice)}"
        if cause["kind"] == "workflow" and depth < MAX_DEPTH:
            yield from _lines(client, cause["instance"], depth + 2)


def _advice(cause: dict[str, Any], id: str) -> str | None:
    if "meant" in cause:
        return MISSPELT
    if cause.get("workers") is False:
        return FIRST_WORKER
    advice = ADVICE.get(cause["kind"])
    if advice is None:
        return None
    more = {
        **worker_start_command(cause.get("app")),
        "event_arguments": _event_send_arguments(cause),
    }
    return fill_command(advice, {"id": id, **cause, **more})


def _event_send_arguments(cause: dict[str, Any]) -> str:
    """Return arguments of `event send` for an event that the first filter accepts. TYPE stands for
    a type that the filter does not name."""
    filters = cause.get("filters") or [{}]
    attributes = dict(filters[0].get("with") or {})
    arguments = [_quoted_text(attributes.pop("type", None)) or "TYPE"]
    data = attributes.pop("data", None)
    for name, value in attributes.items():
        text = _quoted_text(value)
        if text is not None and name in ("source", "id", "subject"):
            arguments.append(f"--{name} {text}")
        elif text is not None:
            arguments.append(f"--attribute {quote(visible(name))}={text}")
    return " ".join([*arguments, *(["-d JSON"] if data is not None else [])])


def _quoted_text(value: Any) -> str | None:
    """Quote a text for a command; return None for other values and for expressions."""
    if isinstance(value, str) and not value.startswith("${"):
        return quote(visible(value))
    return None
