"""`why ID`: the cause of standing still, and what to do about it."""

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
from orchestrator.cli.terminal_text import command, visible
from orchestrator.client import ApiError, Client

#: Sub-workflows are followed this deep.
DEEPEST = 10

#: What a person can do, by the kind of the cause; the cause's own members fill it in.
ADVICE = {
    "engine": "start workers of the release that started it, or of a later one",
    "suspended": "orchestrator resume {id}",
    "broker": "start the broker, or set ORCHESTRATOR_BROKER_URL: the beats send all again",
    "no-control": "orchestrator worker -Q {queue}",
    "stuck": "read the workers' log; then orchestrator terminate {id}",
    "no-worker": "{worker} -Q {queue}",
    "no-processes": "{worker} --pool prefork -Q {queue}",
    "no-task": "add the task's module to {modules} of a worker of {queue}",
    "no-slot": "start one more: {worker} -Q {queue}",
    "silent-worker": "orchestrator beat must run; orchestrator doctor looks further",
    "lease": "orchestrator beat must run; orchestrator doctor looks further",
    "no-beat": "orchestrator beat",
    "event": "orchestrator event send {event_arguments} --to {id}",
    "dead-letter": "orchestrator dead-letter retry {dead_letter} (or resolve)",
}
#: Instead, where the document names a task that only resembles one that is there.
MISSPELT = "correct the name, deploy the document under a new version and start that"


@click.command()
@instance_id
@shared_options
def why(shared: Shared, id: str) -> None:
    """Say why an instance stands still, or why an event found nobody, and what to do about it."""
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
    """The id of the event that a text names; raises `failure` where there is none either."""
    if not is_id(text) or failure.exit_code != Exit.NOT_FOUND:
        raise failure
    try:
        return str(client.why_event(text)["id"])
    except ApiError as error:
        raise (failure if error.status == 404 else error) from None


def _event_lines(client: Client, id: str) -> Iterator[str]:
    found = client.why_event(id)
    yield f"[bold]{id}[/] event in {escape(found['namespace'])}"
    for cause in found["causes"]:
        yield f"  {escape(cause['message'])} [dim]({cause['kind']})[/]"
        if cause["kind"] in ADVICE:
            yield f"    [dim]→[/] {escape(str(_advice(cause, id)))}"


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
    if "meant" in cause:
        return MISSPELT
    advice = ADVICE.get(cause["kind"])
    if advice is None:
        return None
    more = {**starting(cause.get("app")), "event_arguments": _event(cause)}
    return command(advice, {"id": id, **cause, **more})


def starting(app: str | None) -> dict[str, str]:
    """What starts a worker of an app, and what names the modules that it imports. `app` is what
    ``celery -A`` is given; None: the worker is our own."""
    if app is None:
        return {"worker": "orchestrator worker", "modules": "ORCHESTRATOR_IMPORTS"}
    return {
        "worker": f"celery -A {quote(visible(app))} worker",
        "modules": f"the app {quote(visible(app))}",
    }


def _event(cause: dict[str, Any]) -> str:
    """The arguments of `event send` that the first filter asks for; TYPE, a type of one's own."""
    filters = cause.get("filters") or [{}]
    wanted = dict(filters[0].get("with") or {})
    arguments = [_plain(wanted.pop("type", None)) or "TYPE"]
    data = wanted.pop("data", None)
    for name, value in wanted.items():
        text = _plain(value)
        if text is not None and name in ("source", "id", "subject"):
            arguments.append(f"--{name} {text}")
        elif text is not None:
            arguments.append(f"--attribute {quote(visible(name))}={text}")
    return " ".join([*arguments, *(["-d JSON"] if data is not None else [])])


def _plain(value: Any) -> str | None:
    """A word of a command that stands for a value; None where it is no text or an expression."""
    if isinstance(value, str) and not value.startswith("${"):
        return quote(visible(value))
    return None
