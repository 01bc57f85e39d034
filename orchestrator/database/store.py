"""The State Manager's `Store` (see there what each method promises), in Postgres."""

# ruff: noqa: D102  (the protocol says it)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.core.values import Json, Need, Slice, StimulusKind
from orchestrator.database import attempts, slices, stimuli, workers
from orchestrator.database.announcing import Announcer
from orchestrator.database.attempts import Ready
from orchestrator.database.connection import Database, Transaction
from orchestrator.database.rows import Row
from orchestrator.database.slices import Reader, Snapshot
from orchestrator.database.transitions import Saving, save
from orchestrator.secrets import SecretSource


class PostgresView:
    """A `LockedView` on an open transaction."""

    def __init__(self, reader: Reader, secrets: SecretSource) -> None:
        self.reader = reader
        self.secrets = secrets

    def load(self, slice: Slice, need: Need) -> Slice:
        if need.what == "secrets":
            known = self.secrets.several(slice.instance.namespace, need.args, self.reader)
            return replace(slice, loaded={**slice.loaded, need: known})
        return slices.load(self.reader, slice, need)

    def save(self, saving: Saving) -> Snapshot | None:
        return save(self.reader, saving)

    def forget(self, stimulus: int) -> None:
        stimuli.forget(self.reader, stimulus)

    def end(self, attempt: str, state: str) -> None:
        attempts.end(self.reader, attempt, state)

    def lock(self, instance: str, step: int | None, attempt: str | None) -> Snapshot:
        return slices.lock(self.reader, instance, step, attempt)

    def lock_inbox(self, instance: str) -> Snapshot | None:
        return slices.lock_inbox(self.reader, instance)

    def document(self, workflow: str) -> dict[str, Any] | None:
        row = self.reader.one(
            "select document from orchestrator.workflows where id = %s", (workflow,)
        )
        return row[0] if row else None


class _Open:
    """A transaction that stays open after what would end it."""

    def __init__(self, transaction: Reader) -> None:
        self.all, self.one = transaction.all, transaction.one

    def last(self, sql: str, params: Any = (), then: str = "") -> list[tuple[Any, ...]]:
        return self.all(f"{sql}; {then}", params)


class PostgresDecidingView(PostgresView):
    """A `DecidingView` on a transaction that its caller commits."""

    def __init__(self, transaction: Reader, secrets: SecretSource) -> None:
        super().__init__(_Open(transaction), secrets)

    def read_commands(self, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
        return slices.read_commands(self.reader, instance, limit)


class PostgresStore(PostgresView):
    """The `Store` in Postgres."""

    def __init__(self, database: Database, secrets: SecretSource) -> None:
        super().__init__(database, secrets)
        self.database = database
        self.announcer = Announcer(database)

    def claim(
        self, attempt: str, instance: str, task: str, worker: str, process: int, token: str
    ) -> Snapshot | None:
        return slices.claim(self.database, attempt, instance, task, worker, process, token)

    def read_inbox(self, instance: str) -> Snapshot | None:
        return slices.read_inbox(self.database, instance)

    @contextmanager
    def locking(self) -> Iterator[PostgresView]:
        with self.database.transaction() as transaction:
            yield PostgresView(transaction, self.secrets)

    def deciding(self, transaction: Transaction) -> PostgresDecidingView:
        """What decides commands sees of a transaction that has the row lock."""
        return PostgresDecidingView(transaction, self.secrets)

    def ended_with(self, attempt: str, token: str) -> bool:
        return slices.ended_with(self.database, attempt, token)

    def claimed_with(self, instance: str, token: str) -> Snapshot | None:
        return slices.claimed_with(self.database, instance, token)

    def put(
        self,
        instance: str,
        kind: StimulusKind,
        *,
        step: int | None = None,
        attempt: str | None = None,
        data: Json = None,
        key: str | None = None,
    ) -> None:
        stimuli.put(self.database, instance, kind, step=step, attempt=attempt, data=data, key=key)

    def set_aside(self, stimulus: int) -> None:
        stimuli.set_aside(self.database, stimulus)

    def held_by(self, worker: str, process: int) -> list[tuple[str, str, int]]:
        return workers.of_process(self.database, worker, process)

    def top_up(self, instance: str, queue: str, count: int) -> list[Ready]:
        return attempts.top_up(self.database, instance, queue, count)

    def announce(self, due: datetime, now: datetime) -> None:
        self.announcer.armed(due, now)
