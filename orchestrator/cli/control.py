"""`suspend`, `resume`, `cancel`, `terminate`: telling instances what to do."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from orchestrator.cli.exits import Exit, Failure, failure_of
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import ApiError, Client

_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")
_reason = click.option("--reason", help="Why; kept in the history.")


@click.command()
@_ids
@_reason
@shared_options
def suspend(shared: Shared, ids: Sequence[str], reason: str | None) -> None:
    """Let running steps finish and start no more until resumed."""
    _tell_all(shared, ids, "suspend", reason)


@click.command()
@_ids
@_reason
@shared_options
def resume(shared: Shared, ids: Sequence[str], reason: str | None) -> None:
    """Go on with suspended instances."""
    _tell_all(shared, ids, "resume", reason)


@click.command()
@_ids
@_reason
@shared_options
def cancel(shared: Shared, ids: Sequence[str], reason: str | None) -> None:
    """Stop instances and undo what they completed."""
    _tell_all(shared, ids, "cancel", reason)


@click.command()
@_ids
@_reason
@shared_options
def terminate(shared: Shared, ids: Sequence[str], reason: str | None) -> None:
    """Stop instances and undo nothing."""
    _tell_all(shared, ids, "terminate", reason)


def _tell_all(shared: Shared, ids: Sequence[str], command: str, reason: str | None) -> None:
    """Give each instance the command; one refusal does not keep the others from it."""
    refused: list[tuple[str, ApiError]] = []
    with shared.client() as client:
        for id in ids:
            try:
                _tell(client, id, command, reason)
            except ApiError as error:
                refused.append((id, error))
    if refused:
        worst = failure_of(refused[0][1])
        lines = [f"{id}: {error}" for id, error in refused]
        raise Failure("\n".join(lines), Exit(worst.exit_code), worst.hint)


def _tell(client: Client, id: str, command: str, reason: str | None) -> None:
    client.command(id, command, reason=reason)
    progress_console().print(f"[green]{command}[/] {escape(id)}: accepted")
