"""`worker list` and `queue list`: workers, and the attempts that wait in queues."""

from __future__ import annotations

import click

from orchestrator.cli.options import Shared, shared_options

_WORKERS = ("name", "state", "pool", "concurrency", "free", "in_flight", "ended", "refused",
            "stale", "queues", "started_at", "id")  # fmt: skip
_QUEUES = ("name", "waiting", "oldest", "running", "workers", "slots", "free")


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Include workers that have ended.")
@shared_options
def list_workers(shared: Shared, everything: bool) -> None:
    """List workers, the latest started first."""
    query = {} if everything else {"live": "true"}
    with shared.client() as client:
        workers = client.pages("/v1/workers", query)
        if shared.printer.table:
            workers = ({**each, **each.get("counts", {})} for each in workers)
        shared.printer.rows(workers, _WORKERS)


@click.group()
def queue() -> None:
    """Queues of steps."""


@queue.command("list")
@shared_options
def list_queues(shared: Shared) -> None:
    """List queues with waiting attempts, running attempts and workers."""
    with shared.client() as client:
        shared.printer.rows(client.pages("/v1/queues"), _QUEUES)
