"""Starts from Django's transactions."""

from __future__ import annotations

from typing import Any

from orchestrator import outbox
from orchestrator.contrib.django.configuration import named, option
from orchestrator.log import get_logger

log = get_logger(__name__)


def start_in(workflow: str, input: Any = None, *, using: str | None = None, **more: Any) -> str:
    """Submit a start in the open transaction of a database, by default that of the setting
    `DATABASE`. It starts if the transaction commits, exactly once. Return the instance's id.

    `workflow`: ``"shop/order"``, or ``"order"`` in the setting's namespace. `using`: the alias of a
    database. `more`: the options of `orchestrator.outbox.start_in`, which says what is raised.
    Outside an `atomic` block it is committed at once, as any statement is.
    """
    from django.db import connections

    alias = using or option("DATABASE") or "default"
    return outbox.start_in(connections[alias], named(workflow), input, **more)


def start_on_commit(
    workflow: str, input: Any = None, *, using: str | None = None, **more: Any
) -> None:
    """Start a workflow by a request to the API after the commit, for projects whose database does
    not have the orchestrator's tables.

    A process that dies right after the commit starts nothing, and neither does a request that
    fails: that is logged, and the other callbacks run. `more`: the options of `Client.start`.
    """
    from django.db import transaction

    def start() -> None:
        from orchestrator.client import Client

        try:
            with Client() as client:
                client.start(named(workflow), input, **more)
        except Exception:
            log.exception(
                "A workflow was not started after its commit",
                action="start_on_commit_failed",
                workflow=named(workflow),
            )
            raise

    transaction.on_commit(start, using=using, robust=True)
