"""`event send|list|show|watch`: CloudEvents in, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import click

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_id, find_instance
from orchestrator.cli.options import JsonValue, KeyValue, Shared, limit_option, shared_options
from orchestrator.cli.terminal_text import in_json
from orchestrator.client import Client
from orchestrator.client.url_paths import path

SOURCE = "/orchestrator/cli"

_LISTED = ("id", "namespace", "type", "source", "instance", "target", "created_at", "matched_at")
_MATCHED = ("instance", "step", "refused", "at")


@click.group()
def event() -> None:
    """CloudEvents: send them, look at them and at what they matched."""


@event.command()
@click.argument("type")
@click.option("-d", "--data", type=JsonValue(), help="The event's data.")
@click.option("--source", default=SOURCE, show_default=True, help="Where it comes from: a URI.")
@click.option("--id", "event_id", help="The event's own id; made unless given.")
@click.option("--subject", help="What it is about.")
@click.option("--attribute", "attributes", type=KeyValue(), multiple=True, help="An extension.")
@click.option("--namespace", help="Whose events it joins; needed where there are several.")
@click.option("--to", "instance", metavar="ID", help="Into one instance's mailbox.")
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
) -> None:
    """Send an event of TYPE and print its id (ours; the event has its own besides)."""
    given = {"type": type, "source": source, "id": event_id, "subject": subject, "data": data}
    event = {name: value for name, value in given.items() if value is not None}
    with shared.client() as client:
        instance = None if instance is None else find_instance(client, instance)
        into = None if instance else namespace_of(client, namespace)
        id = client.send_event({**event, **dict(attributes)}, into, instance)
    if shared.printer.table:
        click.echo(id)
    else:
        shared.printer.value({"id": id})


def namespace_of(client: Client, given: str | None) -> str:
    """The namespace that was named, or the only one that there is."""
    if given:
        return given
    names = [one["name"] for one in islice(client.pages("/v1/namespaces"), 2)]
    if len(names) != 1:
        raise Failure("name one by --namespace: there is not just one", Exit.USAGE)
    return str(names[0])


@event.command("list")
@click.option("--namespace", help="Of one namespace only.")
@click.option("--type", help="Of one type only.")
@click.option("--source", help="Of one source only.")
@click.option("--to", "target", metavar="ID", help="In one instance's mailbox only.")
@limit_option
@shared_options
def list_(shared: Shared, limit: int, **filters: str | None) -> None:
    """List events, newest first."""
    with shared.client() as client:
        query = _query(client, filters, "target")
        found = islice(client.pages("/v1/events", query), limit or None)
        shared.printer.rows((_row(shared, one) for one in found), _LISTED)


def _query(client: Client, filters: Mapping[str, str | None], instance: str) -> dict[str, str]:
    """The filters that were given; that of the name `instance` as the whole id of one."""
    query = {name: value for name, value in filters.items() if value is not None}
    return query | ({instance: find_instance(client, query[instance])} if instance in query else {})


def _row(shared: Shared, one: dict[str, Any]) -> dict[str, Any]:
    return (
        {**one, **{name: one["event"][name] for name in ("type", "source")}}
        if (shared.printer.table)
        else one
    )


@event.command()
@click.argument("id")
@shared_options
def show(shared: Shared, id: str) -> None:
    """Show an event and what it matched."""
    with shared.client() as client:
        found = client.transport.json("GET", path("events", find_id(client, "/v1/events", id)))
    if shared.printer.table:
        shared.printer.value(found["event"])
        shared.printer.rows(found["matches"], _MATCHED)
    else:
        shared.printer.value(found)


@event.command()
@click.option("--namespace", help="Of one namespace only.")
@click.option("--type", help="Of this type, or of those that begin so: 'com.shop.*'.")
@click.option("--source", help="Of one source only.")
@click.option("--instance", metavar="ID", help="What happens to one instance.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many.")
@shared_options
def watch(shared: Shared, count: int | None, **filters: str | None) -> None:
    """Print events as they come: received, emitted, and what happens to instances."""
    with shared.client() as client:
        query = _query(client, filters, "instance")
        for found in islice(client.events(**query), count):
            click.echo(in_json(json.dumps(found, ensure_ascii=False)))
