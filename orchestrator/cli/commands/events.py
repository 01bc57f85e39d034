"""`event send|list|show|watch`: CloudEvents, and the listeners that they matched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import click

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_id, find_instance
from orchestrator.cli.options import JsonValue, KeyValue, Shared, limit_option, shared_options
from orchestrator.cli.output import say
from orchestrator.client import Client
from orchestrator.client.url_paths import path
from orchestrator.terminal_text import fill_command, in_json

SOURCE = "/orchestrator/cli"

_LISTED = ("id", "namespace", "type", "source", "instance", "target", "created_at", "compared_at")
_MATCHED = ("instance", "step", "refused", "at")


@click.group()
def event() -> None:
    """CloudEvents: send them, list them, show what they matched."""


@event.command()
@click.argument("type")
@click.option("-d", "--data", type=JsonValue(), help="The event's data.")
@click.option("--source", default=SOURCE, show_default=True, help="The source of the event: a URI.")
@click.option("--id", "event_id", help="The event's own id; default: a new one.")
@click.option("--subject", help="The subject of the event.")
@click.option("--attribute", "attributes", type=KeyValue(), multiple=True, help="An extension.")
@click.option("--namespace", help="The namespace; needed if there are several.")
@click.option("--to", "instance", metavar="ID", help="Send it into the mailbox of one instance.")
@click.option("--dry-run", is_flag=True, help="Print who would get it; send nothing.")
@shared_options
def send(
    shared: Shared,
    type: str,
    data: Any,
    source: str,
    event_id: str | None,
    subject: str | None,
    attributes: Sequence[tuple[str, str]],
    namespace: str | None,
    instance: str | None,
    dry_run: bool,
) -> None:
    """Send an event of TYPE and print the id that the API knows it by."""
    members = {"type": type, "source": source, "id": event_id, "subject": subject, "data": data}
    event = {name: value for name, value in members.items() if value is not None}
    with shared.client() as client:
        instance = None if instance is None else find_instance(client, instance)
        into = None if instance else namespace_of(client, namespace)
        if dry_run:
            plan = client.plan_event({**event, **dict(attributes)}, into, instance)
            return _show_plan(shared, plan)
        id = client.send_event({**event, **dict(attributes)}, into, instance)
    if shared.printer.table:
        click.echo(id)
    else:
        shared.printer.value({"id": id})
    return None


def _show_plan(shared: Shared, plan: dict[str, Any]) -> None:
    """Print who would get an event."""
    if not shared.printer.table:
        return shared.printer.value(plan)
    rows = [
        {
            "instance": each["instance"],
            "business id": each["business_id"],
            "step": each["step"],
            "task": each["reference"],
            "does": "takes it",
        }
        for each in plan["listeners"]
    ]
    for each in plan["starts"]:
        name = f"{each['workflow']['namespace']}/{each['workflow']['name']}"
        does = "starts" if each["certain"] else "collects it, and may start"
        rows.append({"task": name, "does": f"{does} ({each['by']} {each['id']})"})
    rows += [
        {"task": each["description"], "does": f"is called (webhook {each['id']})"}
        for each in plan["webhooks"]
    ]
    if rows:
        shared.printer.rows(rows, ("instance", "business id", "step", "task", "does"))
    elif plan["duplicate"]:
        say("nobody: an event of this source and id was sent before")
    else:
        say("it would wait in the mailbox" if plan["mailbox"] else "nobody waits for it")
    if plan["more"]:
        say(f"and {plan['more']} more steps take it")
    for warning in plan["warnings"]:
        say(warning, err=True)
    return None


def namespace_of(client: Client, name: str | None) -> str:
    """Return the named namespace, or the only one that exists; raise `Failure` if there are
    more."""
    if name:
        return name
    names = [namespace["name"] for namespace in islice(client.pages("/v1/namespaces"), 2)]
    if len(names) != 1:
        raise Failure("set --namespace: there is not exactly one namespace", Exit.USAGE)
    return str(names[0])


@event.command("list")
@click.option("--namespace", help="Only events of this namespace.")
@click.option("--type", help="Only events of this type.")
@click.option("--source", help="Only events of this source.")
@click.option("--to", "target", metavar="ID", help="Only events in the mailbox of this instance.")
@limit_option
@shared_options
def list_(shared: Shared, limit: int, **filters: str | None) -> None:
    """List events, newest first."""
    with shared.client() as client:
        query = _query(client, filters, "target")
        events = islice(client.pages("/v1/events", query), limit or None)
        shared.printer.rows((_row(shared, event) for event in events), _LISTED)


def _query(client: Client, filters: Mapping[str, str | None], instance: str) -> dict[str, str]:
    """Return the filters that are set. The filter named `instance` gets the full id of its
    instance."""
    query = {name: value for name, value in filters.items() if value is not None}
    return query | ({instance: find_instance(client, query[instance])} if instance in query else {})


def _row(shared: Shared, event: dict[str, Any]) -> dict[str, Any]:
    if not shared.printer.table:
        return event
    attributes = {name: event["event"][name] for name in ("type", "source")}
    # Show `matched_at` in a column named `compared_at`: it is the time at which the event was
    # compared with the listeners, whether or not one matched.
    return {**event, **attributes, "compared_at": event["matched_at"]}


@event.command()
@click.argument("id")
@shared_options
def show(shared: Shared, id: str) -> None:
    """Show an event and what it matched."""
    with shared.client() as client:
        event = client.transport.json("GET", path("events", find_id(client, "/v1/events", id)))
    if shared.printer.table:
        shared.printer.rows([_row(shared, event)], _LISTED)
        shared.printer.value(event["event"])
        if event["matches"]:
            shared.printer.rows(event["matches"], _MATCHED)
        else:
            click.echo(fill_command("nothing took it: orchestrator why {id}", event))
    else:
        shared.printer.value(event)


@event.command()
@click.option("--namespace", help="Only events of this namespace.")
@click.option("--type", help="Only events of this type; 'com.shop.*' is a prefix.")
@click.option("--source", help="Only events of this source.")
@click.option("--instance", metavar="ID", help="Only events about this instance.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many events.")
@shared_options
def watch(shared: Shared, count: int | None, **filters: str | None) -> None:
    """Print events as they come: received events, sent events and lifecycle events."""
    with shared.client() as client:
        query = _query(client, filters, "instance")
        for event in islice(client.events(**query), count):
            click.echo(in_json(json.dumps(event, ensure_ascii=False)))
