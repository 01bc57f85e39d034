"""`dead-letter list|retry|resolve`: failed compensations and events that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from orchestrator.cli.completion import dead_letters
from orchestrator.cli.id_lookup import find_id, find_instance
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client.url_paths import path

_SHOWN = ("id", "created_at", "namespace", "instance", "reference", "reason", "resolved_at")
_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=dead_letters)
_reason = click.option("--reason", help="A reason, stored in the audit log.")


@click.group("dead-letter")
def dead_letter() -> None:
    """Compensations and events that failed for good: list, retry or resolve them."""


@dead_letter.command("list")
@click.option("--instance", help="Only those of one instance.")
@click.option("--all", "everything", is_flag=True, help="Include those that are closed.")
@shared_options
def list_(shared: Shared, instance: str | None, everything: bool) -> None:
    """List dead letters, newest first."""
    query = {} if everything else {"resolved": "false"}
    with shared.client() as client:
        query |= {} if instance is None else {"instance": find_instance(client, instance)}
        shared.printer.rows(client.pages("/v1/dead-letters", query), _SHOWN)


@dead_letter.command()
@_ids
@_reason
@shared_options
def retry(shared: Shared, ids: Sequence[str], reason: str | None) -> None:
    """Try the failed work again."""
    _act_on(shared, ids, "retry", reason)


@dead_letter.command()
@_ids
@_reason
@shared_options
def resolve(shared: Shared, ids: Sequence[str], reason: str | None) -> None:
    """Close dead letters whose problem a person has solved."""
    _act_on(shared, ids, "resolve", reason)


def _act_on(shared: Shared, ids: Sequence[str], action: str, reason: str | None) -> None:
    body = {"reason": reason} if reason else {}
    with shared.client() as client:
        for id in (find_id(client, "/v1/dead-letters", id) for id in ids):
            client.transport.request("POST", path("dead-letters", id, action), json=body)
            progress_console().print(f"[green]{action}[/] {escape(id)}: accepted")
