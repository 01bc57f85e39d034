"""The simulated database for the processes: sessions, row locks, transactions, outages.

Each statement first yields control, may be struck by a fault, waits for the locks that it needs,
and then happens atomically.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.core.model import (
    OPEN_STATUSES,
    ROOT,
    Attempt,
    AttemptState,
    Json,
    Need,
    Slice,
    Step,
    StimulusKind,
)
from orchestrator.database.connection.database import LockTimeout
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import Row
from orchestrator.database.transitions.save_request import SaveRequest, SiblingClaim
from orchestrator.database.workers.unclaimed_attempts import PUBLISHED_AT_ONCE, PublishableAttempt
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.testing import in_memory_slices
from tests.simulation.faults import Faults
from tests.simulation.rows import LIVE, READY, AttemptRow, Rows
from tests.simulation.simulated_clock import Loop, Place, Process
from tests.simulation.tables import Scratch, Tables

T = TypeVar("T")

#: As `orchestrator.database.connection.database.LOCKING` sets them, in s.
LOCK_TIMEOUT = 2.0
IDLE_IN_TRANSACTION = 5.0
#: As `orchestrator.database.instances.command_queries.DECIDING` sets it, in s.
DECIDING_TIMEOUT = 1.0


class Transaction:
    """A session's open transaction: its locks and its uncommitted writes."""

    def __init__(self, database: SimDatabase, process: Process) -> None:
        self.database = database
        self.process = process
        self.open = True
        self.instance: str | None = None
        self.attempts: set[str] = set()
        self.writes: list[Callable[[], None]] = []
        self.waiters: list[Place] = []
        process.transactions.append(self)

    def run(self, do: Callable[[], T]) -> T:
        """A statement of the session."""
        if not self.open:
            raise DatabaseUnavailable("the session was ended")
        return do()

    def commit(self) -> None:
        """Make what was written visible."""
        for write in self.writes:
            write()
        self.abort()

    def abort(self) -> None:
        """Roll back."""
        if not self.open:
            return
        self.open = False
        self.process.transactions.remove(self)
        database = self.database
        if self.instance is not None:
            del database.locked[self.instance]
        for attempt in self.attempts:
            del database.locked_attempts[attempt]
        for place in self.waiters:
            database.loop.wake(place)

    def left_idle(self) -> None:
        """Its process is stopped: after a while the database ends the session."""
        loop = self.database.loop

        def end() -> None:
            if self.process.stopped:
                self.abort()

        loop.at(loop.now + IDLE_IN_TRANSACTION, end)


class SimDatabase:
    """One database for all processes."""

    def __init__(self, loop: Loop, tables: Tables, faults: Faults) -> None:
        self.loop = loop
        self.tables = tables
        self.faults = faults
        self.down = False
        self.locked: dict[str, Transaction] = {}
        self.locked_attempts: dict[str, Transaction] = {}
        self.announced: Callable[[], None] = lambda: None
        self.trace: list[tuple[Any, ...]] | None = None

    def statement(self, label: str, do: Callable[[], T], *, polls: bool = False) -> T:
        """One round trip of the acting process."""
        loop = self.loop
        loop.reach(label)
        loop.actions += not polls
        strike = self.faults.at_statement(label) if self.faults.armed else None
        if self.down:
            raise DatabaseUnavailable("the server is down")
        if strike is None:
            return do()
        try:
            result = do()
        except OrchestratorError:
            strike()
            raise
        strike()
        return result

    # -- locks -------------------------------------------------------------------------------

    def wait_for(
        self, holders: dict[str, Transaction], key: str, mine: Transaction | None, patience: float
    ) -> None:
        """Wait until no other transaction holds the row. Raise `LockTimeout`."""
        until = self.loop.now + patience
        while (holder := holders.get(key)) is not None and holder is not mine:
            if self.loop.now >= until:
                raise LockTimeout
            holder.waiters.append(self.loop.place())
            self.loop.park("waits for a lock", until)
            if self.down:
                raise DatabaseUnavailable("the server went down")

    def end_sessions(self) -> None:
        """The server goes down: every transaction is rolled back."""
        for transaction in {*self.locked.values(), *self.locked_attempts.values()}:
            transaction.abort()


class SimView:
    """What one transition reads and writes, on its own or in a transaction."""

    def __init__(self, database: SimDatabase, transaction: Transaction | None = None) -> None:
        self.database = database
        self.tables = database.tables
        self.transaction = transaction

    def _run(self, label: str, do: Callable[[], T]) -> T:
        mine = self.transaction
        if mine is None:
            return self.database.statement(label, do)
        return self.database.statement(label, lambda: mine.run(do))

    def load(self, slice: Slice, need: Need) -> Slice:
        rows = self.tables.instances[slice.instance.id]
        answer = self._run("load", lambda: LOADERS[need.what](self, rows, *need.args))
        return replace(slice, loaded={**slice.loaded, need: answer})

    def save(self, saving: SaveRequest) -> Snapshot | None:
        if self.transaction is not None:
            return self._run("locked save", lambda: self._save_locked(saving))
        self._run("save", lambda: self._save_alone(saving))
        return None

    def _save_alone(self, saving: SaveRequest) -> None:
        self.database.wait_for(self.database.locked, saving.instance_before.id, None, 1e9)
        self.tables.save(saving)

    def _save_locked(self, saving: SaveRequest) -> Snapshot | None:
        assert self.transaction is not None
        self.tables.save(saving)
        taken = (
            self._take_next(saving.instance_before.id, saving.sibling) if saving.sibling else None
        )
        self.transaction.commit()
        return taken

    def _take_next(self, instance: str, wish: SiblingClaim) -> Snapshot | None:
        holder = (wish.worker, wish.process, wish.token)
        of_others = self.database.locked_attempts.items()
        locked = [attempt for attempt, whose in of_others if whose is not self.transaction]
        return self.tables.take_next(instance, wish.task, wish.queue, *holder, locked)

    def delete_stimulus(self, stimulus: int) -> None:
        self._write("forget", lambda: self.tables.delete_stimulus(stimulus))

    def end_attempt(self, attempt: str, state: str) -> None:
        self._write("end", lambda: self.tables.end_attempt(attempt, AttemptState(state)))

    def record_late_result(self, attempt: str, state: str) -> None:
        """Nothing that a decision reads."""

    def _write(self, label: str, write: Callable[[], None]) -> None:
        mine = self.transaction
        self._run(label, write if mine is None else lambda: mine.writes.append(write))

    def lock_slice(self, instance: str, step: int | None, attempt: str | None) -> Snapshot:
        def do() -> Snapshot:
            self._take_lock(instance)
            return self.tables.read_slice(instance, step or ROOT, attempt)

        return self._run("lock", do)

    def lock_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        self._run("lock", lambda: self._take_lock(instance))
        return self._run("read inbox", lambda: self.tables.read_inbox(instance, token))

    def _take_lock(self, instance: str, patience: float = LOCK_TIMEOUT) -> None:
        mine, database = self.transaction, self.database
        assert mine is not None
        database.wait_for(database.locked, instance, mine, patience)
        if not mine.open:
            raise DatabaseUnavailable("the session was ended")
        database.locked[instance] = mine
        mine.instance = instance

    def document(self, workflow: str) -> dict[str, Any] | None:
        return dict(self.tables.workflows[workflow].document)


class SimDecidingView(SimView):
    """What decides commands sees of a transaction: its own saves, which others see after the
    commit only."""

    def __init__(self, database: SimDatabase, transaction: Transaction) -> None:
        super().__init__(database, transaction)
        self.mine = transaction
        self._saved = False

    def read_commands(self, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
        def do() -> tuple[Snapshot, list[Row]]:
            inbox = self.tables.instances[instance].inbox.values()
            notes: list[Row] = [dict(row) for row in inbox if row["kind"] == StimulusKind.COMMAND]
            return self.tables.read_slice(instance, ROOT), notes[:limit]

        return self._run("read commands", do)

    def save(self, saving: SaveRequest) -> Snapshot | None:
        self._run("decided save", lambda: self._keep(saving))
        return None

    def _keep(self, saving: SaveRequest) -> None:
        real = self.database.tables
        if not self._saved:
            self.tables, self._saved = Scratch(real, saving.instance_before.id), True
        self.tables.save(saving)
        self.mine.writes.append(lambda: real.save(saving))

    def write(self, label: str, write: Callable[[], None]) -> None:
        """Anything else that commits with it."""
        self._write(label, write)


class SimStore(SimView):
    """The State Manager's `Store`."""

    def claim(
        self, attempt: str, instance: str, task: str, worker: str, process: int, token: str
    ) -> Snapshot | None:
        def do() -> Snapshot | None:
            self.database.wait_for(self.database.locked_attempts, attempt, None, 1e9)
            return self.tables.claim(attempt, instance, task, worker, process, token)

        return self._run("claim", do)

    def read_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        return self._run("read inbox", lambda: self.tables.read_inbox(instance, token))

    def take_decision_lease(
        self,
        instance: str,
        stimulus: int,
        token: str,
        worker: str | None,
        process: int | None,
        seconds: float,
    ) -> tuple[bool, int | None]:
        def do() -> tuple[bool, int | None]:
            return self.tables.take_decision_lease(
                instance, stimulus, token, worker, process, seconds
            )

        return self._run("take lease", do)

    def end_decision_lease(self, instance: str, stimulus: int, token: str) -> None:
        self._run("end lease", lambda: self.tables.end_decision_lease(instance, token, stimulus))

    def end_decision_leases_of(self, worker: str, process: int) -> list[str]:
        def do() -> list[str]:
            found = [
                instance
                for instance, lease in self.tables.decision_leases.items()
                if lease[1:3] == (worker, process)
            ]
            for instance in found:
                del self.tables.decision_leases[instance]
            return found

        return self._run("end leases", do)

    @contextmanager
    def locking(self) -> Iterator[SimView]:
        current = self.database.loop.current
        assert current is not None
        transaction = Transaction(self.database, current.process)
        try:
            yield SimView(self.database, transaction)
            if transaction.open:
                self.database.statement("commit", lambda: transaction.run(transaction.commit))
        finally:
            transaction.abort()

    @contextmanager
    def deciding(self, instance: str) -> Iterator[SimDecidingView]:
        """The API's transaction around a command: it locks the row first."""
        with self.locking() as view:
            assert view.transaction is not None
            mine = SimDecidingView(self.database, view.transaction)
            mine._run("lock", lambda: mine._take_lock(instance, DECIDING_TIMEOUT))
            yield mine
            if not view.transaction.open:
                raise DatabaseUnavailable("the session was ended before its commit")

    def ended_under_token(self, attempt: str, token: str) -> bool:
        def do() -> bool:
            row = self.tables.attempts.get(attempt)
            ends = (AttemptState.SUCCEEDED, AttemptState.FAILED)
            return row is not None and row.token == token and row.value.state in ends

        return self._run("ended with", do)

    def claimed_under_token(self, instance: str, token: str) -> Snapshot | None:
        def do() -> Snapshot | None:
            for row in self.tables.live.values():
                if row.instance == instance and row.token == token:
                    return self.tables.read_slice(instance, row.value.step, row.value.id)
            return None

        return self._run("claimed with", do)

    def put_stimulus(
        self,
        instance: str,
        kind: StimulusKind,
        *,
        step: int | None = None,
        attempt: str | None = None,
        data: Json = None,
        key: str | None = None,
    ) -> None:
        self._run("put", lambda: self.tables.put(instance, kind, step, attempt, data, key))

    def defer_stimulus(self, stimulus: int) -> None:
        # Nothing simulated is a stimulus that can't be brought: one would be a bug of the core.
        raise AssertionError(f"stimulus {stimulus} could not be brought")

    def claimed_by(self, worker: str, process: int) -> list[tuple[str, str, int]]:
        def do() -> list[tuple[str, str, int]]:
            return [
                (row.value.id, row.instance, row.value.step)
                for row in self.tables.live.values()
                if row.worker == worker and row.process == process
            ]

        return self._run("held by", do)

    def publishable(self, instance: str, queue: str, count: int) -> list[PublishableAttempt]:
        return self._run("top up", lambda: self._top_up(instance, queue, count))

    def _top_up(self, instance: str, queue: str, count: int) -> list[PublishableAttempt]:
        ready = [
            row
            for _, row in sorted(self.tables.live.items())
            if row.instance == instance and row.value.state is READY
        ]
        if sum(row.published_at is not None for row in ready) >= PUBLISHED_AT_ONCE:
            return []
        locked, now = self.database.locked_attempts, self.tables.clock()
        found = [
            row
            for row in ready
            if row.published_at is None and row.queue == queue and row.value.id not in locked
        ]
        return [stamped(row, now) for row in found[:count]]

    def announce_timer(self, due: datetime, now: datetime) -> None:
        self._run("announce", self.database.announced)


def stamped(row: AttemptRow, now: float) -> PublishableAttempt:
    """Mark the attempt as published (again)."""
    row.published_at, row.publish_count = now, min(row.publish_count + 1, 30)
    one = row.value
    return PublishableAttempt(
        one.id, row.instance, one.step, one.task, row.queue, one.priority, one.time_limit
    )


# -- what the core asks for besides ----------------------------------------------------------


def _open(view: SimView, rows: Rows) -> list[tuple[Step, Attempt | None]]:
    live = [row for row in rows.attempts if row.value.state in LIVE]
    mine = view.transaction
    assert mine is not None, "only under the row lock"
    for row in live:
        view.database.locked_attempts[row.value.id] = mine
        mine.attempts.add(row.value.id)
    newest = {row.value.step: row.value for row in sorted(live, key=lambda row: row.value.id)}
    return [
        (step, newest.get(id))
        for id, step in sorted(rows.steps.items())
        if step.status in OPEN_STATUSES or id in newest
    ]


def _workflow(view: SimView, _: Rows, namespace: str, name: str, version: str) -> str | None:
    found = [
        (one.version, id)
        for id, one in view.tables.workflows.items()
        if (one.namespace, one.name) == (namespace, name) and version in (one.version, "latest")
    ]
    return max(found)[1] if found else None


LOADERS: dict[str, Callable[..., Any]] = {
    "open": _open,
    "children": lambda _, rows, parent: in_memory_slices.children(rows.steps, parent),
    "undo": lambda _, rows, before: in_memory_slices.undo(rows.steps, before),
    "items": lambda _, rows, step, index: in_memory_slices.items(rows.chunks, step, index),
    "attempt": lambda _, rows, step: in_memory_slices.newest(
        (row.value for row in rows.attempts), step
    ),
    "workflow": _workflow,
    "tree": lambda *_: True,
    "stopped": lambda _, rows, run: in_memory_slices.stopped(rows.steps, run),
    "step": lambda _, rows, step: rows.chain(step),
}
