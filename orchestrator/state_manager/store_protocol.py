"""The interface of the State Manager to its database: Postgres, or the simulated database that
runs thousands of schedules in the tests."""

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
    """Reads the documents of workflow versions."""

    def document(self, workflow: str) -> dict[str, Any] | None:
        """Return the document of a workflow version by its id, or None."""


class TransitionView(Documents, Protocol):
    """What one transition reads and writes, with or without the row lock."""

    def load(self, slice: Slice, need: Need) -> Slice:
        """Return the slice with the rows of one need of the core."""

    def save(self, request: SaveRequest) -> Snapshot | None:
        """Save a transition in one statement. Return the sibling attempt that it claimed, if the
        request asks for one and one was ready. Raises `Superseded` or `Fenced`."""

    def delete_stimulus(self, stimulus: int) -> None:
        """Remove a stimulus that changed nothing."""

    def end_attempt(self, attempt: str, state: str) -> None:
        """End an attempt whose result changed nothing."""

    def record_late_result(self, attempt: str, state: str) -> None:
        """Record, for people, a result that was refused because its attempt had ended before."""


class LockedView(TransitionView, Protocol):
    """A transaction that first takes the row lock of one instance."""

    def lock_slice(self, instance: str, step: int | None, attempt: str | None) -> Snapshot:
        """Take the lock, then read a step's slice. Raises `LockTimeout`."""

    def lock_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        """Take the lock, then read the oldest stimulus with its slice, as `Store.read_inbox`.
        Raises `LockTimeout`."""


class DecidingView(TransitionView, Protocol):
    """A transaction that has the row lock of an instance and commits after its last save."""

    def read_commands(self, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
        """Return the instance and its oldest waiting commands, at most `limit`."""


class Store(TransitionView, Protocol):
    """All operations of the State Manager on its database. Every method may raise
    `DatabaseUnavailable`: the caller can't know whether it took effect."""

    def claim(
        self, attempt: str, instance: str, task: str, worker: str, process: int, token: str
    ) -> Snapshot | None:
        """Claim an attempt. None is a final refusal. Raises `UnknownEngine`."""

    def read_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        """Return the oldest stimulus that can be applied now, with its slice, or None. None also
        while another process has the lease on the instance's decisions; `token` is the caller's."""

    def locking(self) -> AbstractContextManager[LockedView]:
        """Open a transaction. It commits at the end of the block unless the block raises."""

    def ended_under_token(self, attempt: str, token: str) -> bool:
        """Whether the claim with this token ended the attempt."""

    def claimed_under_token(self, instance: str, token: str) -> Snapshot | None:
        """Return the attempt that was claimed under this token, if that claim committed."""

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
        """Put a stimulus into the inbox. A second one with the same key is ignored."""

    def take_decision_lease(
        self,
        instance: str,
        stimulus: int,
        token: str,
        worker: str | None,
        process: int | None,
        seconds: float,
    ) -> tuple[bool, int | None]:
        """Take the lease on an instance's decisions, and count that the stimulus's decision was
        begun. Return whether it was taken, and how often it was begun (None: it is gone)."""

    def end_decision_lease(self, instance: str, stimulus: int, token: str) -> None:
        """End a lease without a save: the stimulus's decision was not begun."""

    def end_decision_leases_of(self, worker: str, process: int) -> list[str]:
        """End the leases of a process that is lost. Return their instances."""

    def defer_stimulus(self, stimulus: int) -> None:
        """Move a stimulus that can't be applied behind all others."""

    def claimed_by(self, worker: str, process: int) -> list[tuple[str, str, int]]:
        """Return the claimed attempts of one process: (attempt, instance, step)."""

    def publishable(self, instance: str, queue: str, count: int) -> list[PublishableAttempt]:
        """Return at most `count` unpublished attempts of an instance and a queue, and mark them as
        published."""

    def announce_timer(self, due: datetime, now: datetime) -> None:
        """Notify the beats of a timer that is due within their longest sleep. `now`: the database's
        time."""
