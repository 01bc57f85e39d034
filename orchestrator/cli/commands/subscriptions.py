"""`subscription create|list|show|pause|resume|delete|deliveries|retry`: targets of events."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.commands.events import namespace_of
from orchestrator.cli.id_lookup import find_id
from orchestrator.cli.options import JsonValue, Shared, limit_option, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import Client
from orchestrator.client.url_paths import path

_LISTED = ("id", "namespace", "filter", "target", "state", "failures", "created_at")
_SENT = ("id", "type", "state", "attempts", "status", "error", "next_at", "created_at")

_ALL = "/v1/subscriptions"

_id = click.argument("id")


@click.group()
def subscription() -> None:
    """Subscriptions: events that call a webhook or start a workflow."""


@subscription.command()
@click.option("--type", help="Events of this type; a regular expression matches several.")
@click.option("--source", help="Events of this source.")
@click.option("--filter", "attributes", type=JsonValue(), help='Other attributes: {"data": ...}.')
@click.option("--webhook", metavar="URL", help="The URL to send the events to, signed.")
@click.option("--secret", help="The secret that signs them; default: a new one.")
@click.option("--workflow", metavar="NAME", help="Or: the workflow that each event starts.")
@click.option(
    "--read",
    type=click.Choice(["data", "envelope", "raw"]),
    help="The part of the event that becomes its input.",
)
@click.option("--namespace", help="The namespace; needed if there are several.")
@click.option("--description", help="A description.")
@shared_options
def create(
    shared: Shared,
    type: str | None,
    source: str | None,
    attributes: dict[str, Any] | None,
    webhook: str | None,
    secret: str | None,
    workflow: str | None,
    read: str | None,
    namespace: str | None,
    description: str | None,
) -> None:
    """Subscribe to events. The secret of a webhook's signatures is shown only this once."""
    if bool(webhook) == bool(workflow):
        raise click.UsageError("set either --webhook or --workflow")
    filter = {**(attributes or {}), **_set(type=type, source=source)}
    target = (
        {"webhook": _set(url=webhook, secret=secret)}
        if webhook
        else {"workflow": _set(name=workflow, read=read)}
    )
    with shared.client() as client:
        body = {
            "namespace": namespace_of(client, namespace), "filter": filter,
            **target, **_set(description=description),
        }  # fmt: skip
        made = client.transport.json("POST", "/v1/subscriptions", json=body)
    shared.printer.value(made)


def _set(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _path(client: Client, id: str) -> str:
    return path("subscriptions", find_id(client, _ALL, id))


@subscription.command("list")
@click.option("--namespace", help="Only subscriptions of this namespace.")
@click.option("--state", help="One or more states: paused,disabled")
@shared_options
def list_(shared: Shared, **filters: str | None) -> None:
    """List subscriptions, newest first."""
    query = {name: value for name, value in filters.items() if value}
    with shared.client() as client:
        shared.printer.rows(map(_row, client.pages("/v1/subscriptions", query)), _LISTED)


def _row(subscription: dict[str, Any]) -> dict[str, Any]:
    webhook = subscription["webhook"]
    target = webhook["url"] if webhook else subscription["workflow"]["name"]
    return {**subscription, "target": target}


@subscription.command()
@_id
@shared_options
def show(shared: Shared, id: str) -> None:
    """Show a subscription."""
    with shared.client() as client:
        shared.printer.value(client.transport.json("GET", _path(client, id)))


@subscription.command()
@_id
@shared_options
def pause(shared: Shared, id: str) -> None:
    """Deliver no events until resumed."""
    _change(shared, id, "paused")


@subscription.command()
@_id
@shared_options
def resume(shared: Shared, id: str) -> None:
    """Deliver events again, also after the subscription was disabled."""
    _change(shared, id, "active")


def _change(shared: Shared, id: str, state: str) -> None:
    with shared.client() as client:
        client.transport.request("PATCH", _path(client, id), json={"state": state})
    progress_console().print(f"{escape(id)}: [green]{state}[/]")


@subscription.command()
@_id
@shared_options
def delete(shared: Shared, id: str) -> None:
    """Delete a subscription."""
    with shared.client() as client:
        client.transport.request("DELETE", _path(client, id))
    progress_console().print(f"{escape(id)}: [green]deleted[/]")


@subscription.command("deliveries")
@_id
@click.option("--state", help="One or more states: pending,failed")
@limit_option
@shared_options
def deliveries(shared: Shared, id: str, state: str | None, limit: int) -> None:
    """List the deliveries of a webhook, newest first."""
    query = {"state": state} if state else {}
    with shared.client() as client:
        pages = client.pages(f"{_path(client, id)}/deliveries", query)
        shared.printer.rows(islice(pages, limit or None), _SENT)


@subscription.command()
@_id
@click.argument("delivery")
@shared_options
def retry(shared: Shared, id: str, delivery: str) -> None:
    """Send a delivery again."""
    with shared.client() as client:
        id = find_id(client, _ALL, id)
        delivery = find_id(client, path("subscriptions", id, "deliveries"), delivery)
        at = path("subscriptions", id, "deliveries", delivery, "retry")
        client.transport.request("POST", at)
    progress_console().print(f"[green]retry[/] {escape(delivery)}: accepted")
