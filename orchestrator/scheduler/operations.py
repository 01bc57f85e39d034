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

from orchestrator.core.values import Json
from orchestrator.database import dead_letters, instance_lists, operations
from orchestrator.database.connection import Busy, Database
from orchestrator.database.instance_filters import Filter
from orchestrator.database.operations import ALLOWED, LETTERS, MOST_COUNTED, OperationRow, Task
from orchestrator.database.pages import Condition, Page, Scope
from orchestrator.database.slices import Reader
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.scheduler.chores import Chore
from orchestrator.task_dispatcher import TaskDispatcher

#: Instances, or dead letters, that one transaction reaches.
BATCH = 100
#: How often to look for an operation, in s, and after how long to go on with one.
LOOK, GO_ON = 0.5, 0.0
#: How long operations are kept once they have ended, and how often to forget, in s.
KEPT, FORGET = timedelta(days=30), 3600.0

log = get_logger(__name__)

_TIMES = ("started_after", "started_before")


def stored(chosen: Filter) -> dict[str, Json]:
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
class Matches:
    """How many an operation would reach, counted up to `MOST_COUNTED`, and the first of them
    (rows of `instance_lists.listed` or `dead_letters.listed`)."""

    count: int
    sample: list[tuple[Any, ...]]


def matches(reader: Reader, scope: Scope, action: str, chosen: Any, sample: int) -> Matches:
    """What an operation would reach; `chosen` as it is stored."""
    if action in LETTERS:
        of, within = chosen["instance"], chosen["namespace"]
        count = dead_letters.open_count(reader, scope, of, within, MOST_COUNTED)
    else:
        allowed: list[Condition] = [(ALLOWED[action], {})]
        count = instance_lists.matching_count(
            reader, scope, filter_of(chosen), MOST_COUNTED, allowed
        )
    found = _page(reader, scope, action, chosen, sample, None, None) if sample else None
    return Matches(count, found.rows if found else [])


def _page(
    reader: Reader,
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
        return dead_letters.listed(
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

    def chores(self) -> Sequence[Chore]:
        """All of them."""
        return [
            Chore("operations", LOOK, self.work),
            Chore("forget_operations", FORGET, self.forget, always=True),
        ]

    def forget(self) -> None:
        """Forget what ended long ago."""
        operations.forget(self.database, KEPT)

    def work(self) -> float:
        """Do a batch of the oldest operation; returns when to go on."""
        current: list[str] = []
        try:
            with self.database.transaction() as cursor:
                task = operations.take(cursor)
                if task is None:
                    return LOOK
                current.append(task.operation.id)
                reached = _batch(cursor, task)
        except (DatabaseUnavailable, Busy):
            raise
        except Exception as error:
            log.exception("An operation failed", action="operation_failed", operation=current)
            for id in current:
                operations.fail(self.database, id, f"{type(error).__name__}: see the beat's log")
            return LOOK
        self.dispatcher.hint(*reached)
        return GO_ON


def _batch(cursor: Reader, task: Task) -> list[str]:
    """The instances that the operation has reached now."""
    operation = task.operation
    names = operation.namespaces
    scope = Scope(None if names is None else tuple(names))
    until = operation.created_at
    found = _page(cursor, scope, operation.action, task.chosen, BATCH, task.place, until)
    if operation.action in LETTERS:
        reached, done = _settled(cursor, operation, found.rows)
    else:
        reached = [row[1] for row in found.rows]
        if reached:
            operations.command(cursor, operation, reached, [row[3] for row in found.rows])
        done = len(reached)
    operations.go_on(cursor, operation.id, done, found.last)
    return reached


def _settled(
    cursor: Reader, operation: OperationRow, letters: Sequence[tuple[Any, ...]]
) -> tuple[list[str], int]:
    action = operation.action.partition(".")[2]
    settled = [
        letter
        for letter in letters
        if dead_letters.settle(
            cursor, letter, action, operation.actor, operation.reason, operation.address
        )
    ]
    return [letter[3] for letter in settled], len(settled)
