"""The State Manager's `Store` in Postgres; the protocol documents each method."""

# ruff: noqa: D102  (the protocol says it)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.core.model import Json, Need, Slice, StimulusKind
from orchestrator.database.connection.database import Database, Params, Rows, Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.schedules.timer_announcer import TimerAnnouncer
from orchestrator.database.transitions import (
    decision_lease_queries,
    inbox_queries,
    instance_slice_reader,
)
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import Row
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.database.transitions.transition_writer import save
from orchestrator.database.workers import unclaimed_attempts, worker_queries
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.secrets.sources import SecretSource


class PostgresView:
    """Reads and writes of a transition on a connection."""

    def __init__(self, session: Session, secrets: SecretSource) -> None:
        self.session = session
        self.secrets = secrets

    def load(self, slice: Slice, need: Need) -> Slice:
        if need.what == "secrets":
            values = self.secrets.several(slice.instance.namespace, need.args, self.session)
            return replace(slice, loaded={**slice.loaded, need: values})
        return instance_slice_reader.load(self.session, slice, need)

    def save(self, saving: SaveRequest) -> Snapshot | None:
        return save(self.session, saving)

    def delete_stimulus(self, stimulus: int) -> None:
        inbox_queries.delete_stimulus(self.session, stimulus)

    def end_attempt(self, attempt: str, state: str) -> None:
        unclaimed_attempts.end_attempt(self.session, attempt, state)

    def record_late_result(self, attempt: str, state: str) -> None:
        unclaimed_attempts.record_late_result(self.session, attempt, state)

    def document(self, workflow: str) -> dict[str, Any] | None:
        row = self.session.one(
            "select document from orchestrator.workflows where id = %s", (workflow,)
        )
        return row[0] if row else None


class PostgresLockedView(PostgresView):
    """A `LockedView` on an open transaction."""

    def __init__(self, transaction: Transaction, secrets: SecretSource) -> None:
        super().__init__(transaction, secrets)
        self.transaction = transaction

    def lock_slice(self, instance: str, step: int | None, attempt: str | None) -> Snapshot:
        return instance_slice_reader.lock_slice(self.transaction, instance, step, attempt)

    def lock_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        return instance_slice_reader.lock_inbox(self.transaction, instance, token)


class _UncommittedTransaction(Transaction):
    """A transaction that its caller commits: a save does not commit it."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def all(self, sql: str, params: Params = ()) -> Rows:
        return self._transaction.all(sql, params)

    def commit_with(self, sql: str, params: Params = (), read_after: str = "") -> Rows:
        return self.all(f"{sql}; {read_after}", params)


class PostgresDecidingView(PostgresLockedView):
    """A `DecidingView` on a transaction that its caller commits."""

    def __init__(self, transaction: Transaction, secrets: SecretSource) -> None:
        super().__init__(_UncommittedTransaction(transaction), secrets)

    def read_commands(self, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
        return instance_slice_reader.read_commands(self.transaction, instance, limit)


class PostgresStore(PostgresView):
    """The `Store` in Postgres."""

    def __init__(self, database: Database, secrets: SecretSource) -> None:
        super().__init__(database, secrets)
        self.database = database
        self.announcer = TimerAnnouncer(database)

    def claim(
        self, attempt: str, instance: str, task: str, worker: str, process: int, token: str
    ) -> Snapshot | None:
        return instance_slice_reader.claim(
            self.database, attempt, instance, task, worker, process, token
        )

    def read_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        return instance_slice_reader.read_inbox(self.database, instance, token)

    @contextmanager
    def locking(self) -> Iterator[PostgresLockedView]:
        with self.database.transaction() as transaction:
            yield PostgresLockedView(transaction, self.secrets)

    def deciding(self, transaction: Transaction) -> PostgresDecidingView:
        """Return the view of a transaction that has the row lock, to decide commands."""
        return PostgresDecidingView(transaction, self.secrets)

    def ended_under_token(self, attempt: str, token: str) -> bool:
        return instance_slice_reader.ended_under_token(self.database, attempt, token)

    def claimed_under_token(self, instance: str, token: str) -> Snapshot | None:
        return instance_slice_reader.claimed_under_token(self.database, instance, token)

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
        inbox_queries.put(
            self.database, instance, kind, step=step, attempt=attempt, data=data, key=key
        )

    def take_decision_lease(
        self,
        instance: str,
        stimulus: int,
        token: str,
        worker: str | None,
        process: int | None,
        seconds: float,
    ) -> tuple[bool, int | None]:
        return decision_lease_queries.take(
            self.database, instance, stimulus, token, worker, process, seconds
        )

    def end_decision_lease(self, instance: str, stimulus: int, token: str) -> None:
        decision_lease_queries.end(self.database, instance, stimulus, token)

    def end_decision_leases_of(self, worker: str, process: int) -> list[str]:
        return decision_lease_queries.end_of_process(self.database, worker, process)

    def defer_stimulus(self, stimulus: int) -> None:
        inbox_queries.defer(self.database, stimulus)

    def claimed_by(self, worker: str, process: int) -> list[tuple[str, str, int]]:
        return worker_queries.of_process(self.database, worker, process)

    def publishable(self, instance: str, queue: str, count: int) -> list[PublishableAttempt]:
        return unclaimed_attempts.claim_next_wave(self.database, instance, queue, count)

    def announce_timer(self, due: datetime, now: datetime) -> None:
        self.announcer.timer_armed(due, now)
