"""Runs bulk operations, one batch at a time, so that timers never wait for one.

Any number of beats do this; a row lock gives each operation to one beat at a time. An operation
reaches only instances that existed when it was created, and only those whose status allows the
command when their batch runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database, LockTimeout, Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.instances import dead_letter_queries, instance_lists
from orchestrator.database.instances.instance_filters import Filter
from orchestrator.database.keyset_pages import Condition, Page, Scope
from orchestrator.database.operations import bulk_operation_queries
from orchestrator.database.operations.bulk_operation_queries import (
    ALLOWED,
    LETTERS,
    MOST_COUNTED,
    OperationBatch,
    OperationRow,
)
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.scheduler.maintenance_loop import MaintenanceJob
from orchestrator.task_dispatcher import TaskDispatcher

#: Instances, or dead letters, of one batch, which is one transaction.
BATCH = 100
#: Seconds until the next batch: without an operation to run, and with one.
POLL_INTERVAL, BUSY_INTERVAL = 0.5, 0.0
#: How long ended operations are kept, and the seconds between two purges.
RETENTION, PURGE_INTERVAL = timedelta(days=30), 3600.0

log = get_logger(__name__)

_TIMES = ("started_after", "started_before")


def filter_to_json(selection: Filter) -> dict[str, Json]:
    """Return a filter as JSON. Unset members are omitted, so that a beat of the previous release
    can read it."""
    json = {name: value for name, value in asdict(selection).items() if value is not None}
    times = {name: getattr(selection, name) for name in _TIMES}
    return json | {name: time and time.isoformat() for name, time in times.items()}


def filter_of(json: Mapping[str, Json]) -> Filter:
    """Return the filter of a JSON from `filter_to_json`."""
    times = {name: json[name] and datetime.fromisoformat(json[name]) for name in _TIMES}
    return Filter(**{**json, **times})


@dataclass(frozen=True, slots=True)
class OperationPreview:
    """How many rows an operation would reach, counted up to `MOST_COUNTED`, and the first ones
    (rows of `instance_lists.listed` or `dead_letter_queries.listed`)."""

    count: int
    sample: list[tuple[Any, ...]]


def preview(
    session: Session, scope: Scope, action: str, selection: Any, sample: int
) -> OperationPreview:
    """Return what an operation would reach. `selection`: JSON as it is stored."""
    if action in LETTERS:
        instance, namespace = selection["instance"], selection["namespace"]
        count = dead_letter_queries.open_count(session, scope, instance, namespace, MOST_COUNTED)
    else:
        allowed: list[Condition] = [(ALLOWED[action], {})]
        count = instance_lists.matching_count(
            session, scope, filter_of(selection), MOST_COUNTED, allowed
        )
    page = _page(session, scope, action, selection, sample, None, None) if sample else None
    return OperationPreview(count, page.rows if page else [])


def _page(
    session: Session,
    scope: Scope,
    action: str,
    selection: Any,
    limit: int,
    after: Sequence[Any] | None,
    until: datetime | None,
) -> Page:
    more: list[Condition] = []
    if until is not None:
        more.append(("created_at <= %(created_until)s", {"created_until": until}))
    if action in LETTERS:
        return dead_letter_queries.listed(
            session,
            scope,
            resolved=False,
            instance=selection["instance"],
            namespace=selection["namespace"],
            descending=False,
            limit=limit,
            after=after,
            more=more,
        )
    return instance_lists.listed(
        session,
        scope,
        filter_of(selection),
        descending=False,
        limit=limit,
        after=after,
        more=[(ALLOWED[action], {}), *more],
    )


@dataclass(frozen=True, slots=True)
class Operations:
    """The maintenance jobs of bulk operations."""

    database: Database
    dispatcher: TaskDispatcher

    def jobs(self) -> Sequence[MaintenanceJob]:
        """Return all of them."""
        return [
            MaintenanceJob("bulk_operations", POLL_INTERVAL, self.work),
            MaintenanceJob(
                "purge_bulk_operations", PURGE_INTERVAL, self.purge, runs_when_idle=True
            ),
        ]

    def purge(self) -> None:
        """Delete operations that ended longer than `RETENTION` ago."""
        bulk_operation_queries.purge(self.database, RETENTION)

    def work(self) -> float:
        """Run one batch of the oldest operation. Return the seconds until the next call."""
        current: list[str] = []
        try:
            with self.database.transaction() as transaction:
                batch = bulk_operation_queries.lock_next(transaction)
                if batch is None:
                    return POLL_INTERVAL
                current.append(batch.operation.id)
                reached = _run_batch(transaction, batch)
        except (DatabaseUnavailable, LockTimeout):
            raise
        except Exception as error:
            log.exception("An operation failed", action="operation_failed", operation=current)
            for id in current:
                bulk_operation_queries.fail(
                    self.database, id, f"{type(error).__name__}: see the beat's log"
                )
            return POLL_INTERVAL
        self.dispatcher.hint(*reached)
        return BUSY_INTERVAL


def _run_batch(transaction: Transaction, batch: OperationBatch) -> list[str]:
    """Send one batch of commands. Return the instances to hint."""
    operation = batch.operation
    names = operation.namespaces
    scope = Scope(None if names is None else tuple(names))
    until = operation.created_at
    page = _page(transaction, scope, operation.action, batch.selection, BATCH, batch.cursor, until)
    if operation.action in LETTERS:
        reached, done = _act_on_letters(transaction, operation, page.rows)
    else:
        reached = [row[1] for row in page.rows]
        if reached:
            bulk_operation_queries.command(
                transaction, operation, reached, [row[3] for row in page.rows]
            )
        done = len(reached)
    bulk_operation_queries.record_batch(transaction, operation.id, done, page.last)
    return reached


def _act_on_letters(
    transaction: Transaction, operation: OperationRow, letters: Sequence[tuple[Any, ...]]
) -> tuple[list[str], int]:
    action = operation.action.partition(".")[2]
    decided = [
        letter
        for letter in letters
        if dead_letter_queries.act_on(
            transaction, letter, action, operation.actor, operation.reason, operation.address
        )
    ]
    return [letter[3] for letter in decided], len(decided)
