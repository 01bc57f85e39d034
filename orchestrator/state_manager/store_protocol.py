"""What the State Manager asks of a database: the seam between its decisions and Postgres, and
between them and the simulated database that runs thousands of schedules in the tests."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from orchestrator.core.model import Json, Need, Slice, StimulusKind
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import Row
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt


class Documents(Protocol):
    """Where the documents of workflow versions are read."""

    def document(self, workflow: str) -> dict[str, Any] | None:
        """The document of a workflow version."""


class TransitionView(Documents, Protocol):
    """What one transition reads and writes, on its own or under a row lock."""

    def load(self, slice: Slice, need: Need) -> Slice:
        """The slice with the answer to one need of the core."""

    def save(self, saving: SaveRequest) -> Snapshot | None:
        """Save a transition whole, and claim the sibling that it wishes for, if there is one;
        raises `Superseded` or `Fenced`."""

    def delete_stimulus(self, stimulus: int) -> None:
        """Remove a note that turned out to change nothing."""

    def end_attempt(self, attempt: str, state: str) -> None:
        """End an attempt whose result changed nothing."""


class LockedView(TransitionView, Protocol):
    """A transaction that takes the row lock of one instance first."""

    def lock_slice(self, instance: str, step: int | None, attempt: str | None) -> Snapshot:
        """Take the lock, then read a step's slice; raises `Busy`."""

    def lock_inbox(self, instance: str) -> Snapshot | None:
        """Take the lock, then read the oldest stimulus with its slice; raises `Busy`."""


class DecidingView(TransitionView, Protocol):
    """A transaction that has the row lock of an instance, and commits after its last save."""

    def read_commands(self, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
        """The instance, and the oldest commands that wait for it, at most `limit`."""


class Store(TransitionView, Protocol):
    """All that the State Manager asks of a database. Every method may raise
    `DatabaseUnavailable`: then nothing is known."""

    def claim(
        self, attempt: str, instance: str, task: str, worker: str, process: int, token: str
    ) -> Snapshot | None:
        """Claim an attempt; None is a definite refusal."""

    def read_inbox(self, instance: str) -> Snapshot | None:
        """The oldest stimulus that may be taken now, with its slice."""

    def locking(self) -> AbstractContextManager[LockedView]:
        """A transaction, committed at the end of the block unless it raises."""

    def ended_under_token(self, attempt: str, token: str) -> bool:
        """Whether the attempt's own worker ended it, under this token."""

    def claimed_under_token(self, instance: str, token: str) -> Snapshot | None:
        """The attempt that was taken under this token, if that committed."""

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
        """Leave a durable note; a second one with the same key is the first."""

    def defer_stimulus(self, stimulus: int) -> None:
        """Let what waits behind a note that can't be brought go first."""

    def claimed_by(self, worker: str, process: int) -> list[tuple[str, str, int]]:
        """The claimed attempts of one process: (attempt, instance, step)."""

    def publishable(self, instance: str, queue: str, count: int) -> list[PublishableAttempt]:
        """More attempts of a wide instance and a queue, stamped as published."""

    def announce_timer(self, due: datetime, now: datetime) -> None:
        """Let the beats know that a timer was armed which is due soon; it is `now`."""
