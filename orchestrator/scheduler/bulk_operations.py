"""Works off operations: a batch at a time, so that timers never wait for one.

Any number of beats do it at once; each operation is in the hands of one at a time. Only
instances that were there when it was asked for are reached, and only those whose status allows
the command when their turn comes.
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

#: Instances, or dead letters, that one transaction reaches.
BATCH = 100
#: How often to look for an operation, in s, and after how long to go on with one.
LOOK, GO_ON = 0.5, 0.0
#: How long operations are kept once they have ended, and how often to forget, in s.
KEPT, FORGET = timedelta(days=30), 3600.0

log = get_logger(__name__)

_TIMES = ("started_after", "started_before")


def filter_to_json(chosen: Filter) -> dict[str, Json]:
    """A filter as JSON. Members that ask for nothing are left out, so that a beat of the release
    before reads what it knows."""
    found = {name: value for name, value in asdict(chosen).items() if value is not None}
    times = {name: getattr(chosen, name) for name in _TIMES}
    return found | {name: time and time.isoformat() for name, time in times.items()}


def filter_of(json: Mapping[str, Json]) -> Filter:
    """The filter that was `stored`."""
    times = {name: json[name] and datetime.fromisoformat(json[name]) for name in _TIMES}
    return Filter(**{**json, **times})


@dataclass(frozen=True, slots=True)
class OperationPreview:
    """How many an operation would reach, counted up to `MOST_COUNTED`, and the first of them
    (rows of `instance_lists.listed` or `dead_letters.listed`)."""

    count: int
    sample: list[tuple[Any, ...]]


def matches(
    reader: Session, scope: Scope, action: str, chosen: Any, sample: int
) -> OperationPreview:
    """What an operation would reach; `chosen` as it is stored."""
    if action in LETTERS:
        of, within = chosen["instance"], chosen["namespace"]
        count = dead_letter_queries.open_count(reader, scope, of, within, MOST_COUNTED)
    else:
        allowed: list[Condition] = [(ALLOWED[action], {})]
        count = instance_lists.matching_count(
            reader, scope, filter_of(chosen), MOST_COUNTED, allowed
        )
    found = _page(reader, scope, action, chosen, sample, None, None) if sample else None
    return OperationPreview(count, found.rows if found else [])


def _page(
    reader: Session,
    scope: Scope,
    action: str,
    chosen: Any,
    limit: int,
    after: Sequence[Any] | None,
    until: datetime | None,
) -> Page:
    more: list[Condition] = []
    if until is not None:
        more.append(("created_at <= %(created_until)s", {"created_until": until}))
    if action in LETTERS:
        return dead_letter_queries.listed(
            reader,
            scope,
            resolved=False,
            instance=chosen["instance"],
            namespace=chosen["namespace"],
            descending=False,
            limit=limit,
            after=after,
            more=more,
        )
    return instance_lists.listed(
        reader,
        scope,
        filter_of(chosen),
        descending=False,
        limit=limit,
        after=after,
        more=[(ALLOWED[action], {}), *more],
    )


@dataclass(frozen=True, slots=True)
class Operations:
    """The chores of operations."""

    database: Database
    dispatcher: TaskDispatcher

    def chores(self) -> Sequence[MaintenanceJob]:
        """All of them."""
        return [
            MaintenanceJob("operations", LOOK, self.work),
            MaintenanceJob("forget_operations", FORGET, self.forget, runs_when_idle=True),
        ]

    def forget(self) -> None:
        """Forget what ended long ago."""
        bulk_operation_queries.purge(self.database, KEPT)

    def work(self) -> float:
        """Do a batch of the oldest operation; returns when to go on."""
        current: list[str] = []
        try:
            with self.database.transaction() as cursor:
                task = bulk_operation_queries.lock_next(cursor)
                if task is None:
                    return LOOK
                current.append(task.operation.id)
                reached = _batch(cursor, task)
        except (DatabaseUnavailable, LockTimeout):
            raise
        except Exception as error:
            log.exception("An operation failed", action="operation_failed", operation=current)
            for id in current:
                bulk_operation_queries.fail(
                    self.database, id, f"{type(error).__name__}: see the beat's log"
                )
            return LOOK
        self.dispatcher.hint(*reached)
        return GO_ON


def _batch(cursor: Transaction, task: OperationBatch) -> list[str]:
    """The instances that the operation has reached now."""
    operation = task.operation
    names = operation.namespaces
    scope = Scope(None if names is None else tuple(names))
    until = operation.created_at
    found = _page(cursor, scope, operation.action, task.chosen, BATCH, task.place, until)
    if operation.action in LETTERS:
        reached, done = _act_on_letters(cursor, operation, found.rows)
    else:
        reached = [row[1] for row in found.rows]
        if reached:
            bulk_operation_queries.command(
                cursor, operation, reached, [row[3] for row in found.rows]
            )
        done = len(reached)
    bulk_operation_queries.record_batch(cursor, operation.id, done, found.last)
    return reached


def _act_on_letters(
    cursor: Transaction, operation: OperationRow, letters: Sequence[tuple[Any, ...]]
) -> tuple[list[str], int]:
    action = operation.action.partition(".")[2]
    settled = [
        letter
        for letter in letters
        if dead_letter_queries.act_on(
            cursor, letter, action, operation.actor, operation.reason, operation.address
        )
    ]
    return [letter[3] for letter in settled], len(settled)
