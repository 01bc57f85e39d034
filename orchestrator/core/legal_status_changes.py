"""The legal status changes of instances, steps, attempts and compensations.

Theory of operation. A status changes only as the tables below allow; `change_status` refuses
any other change and changes nothing. So a bug in the interpreter can stop a transition, but it
cannot save an impossible state. The state diagrams in the documentation are drawn from these
tables.

A step's end is final, with two exceptions that history records in full: a withdrawn attempt that
ends late gives its cancelled or faulted step the end that it really had, and a person's retry
reopens a stopped step. An instance's end is final except for `retry`, which starts a new numbered
run (DESIGN, I13).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from orchestrator.core.model import AttemptState, Compensation, Status
from orchestrator.errors import OrchestratorError

_PENDING, _RUNNING, _WAITING = Status.PENDING, Status.RUNNING, Status.WAITING
_SUSPENDED, _CANCELLED = Status.SUSPENDED, Status.CANCELLED
_FAULTED, _COMPLETED = Status.FAULTED, Status.COMPLETED

INSTANCE: Mapping[Status, frozenset[Status]] = {
    _PENDING: frozenset({_RUNNING, _WAITING, _SUSPENDED, _CANCELLED, _FAULTED, _COMPLETED}),
    _RUNNING: frozenset({_WAITING, _SUSPENDED, _CANCELLED, _FAULTED, _COMPLETED}),
    _WAITING: frozenset({_RUNNING, _SUSPENDED, _CANCELLED, _FAULTED, _COMPLETED}),
    _SUSPENDED: frozenset({_PENDING, _RUNNING, _WAITING, _CANCELLED, _FAULTED, _COMPLETED}),
    _CANCELLED: frozenset({_RUNNING, _WAITING}),  # retry: a new run
    _FAULTED: frozenset({_RUNNING, _WAITING}),  # retry: a new run
    _COMPLETED: frozenset(),
}

STEP: Mapping[Status, frozenset[Status]] = {
    _PENDING: frozenset({_RUNNING, _WAITING, _SUSPENDED, _CANCELLED, _FAULTED, _COMPLETED}),
    _RUNNING: frozenset({_WAITING, _SUSPENDED, _CANCELLED, _FAULTED, _COMPLETED}),
    _WAITING: frozenset({_RUNNING, _SUSPENDED, _CANCELLED, _FAULTED, _COMPLETED}),
    _SUSPENDED: frozenset({_RUNNING, _WAITING, _CANCELLED, _FAULTED, _COMPLETED}),
    _CANCELLED: frozenset({_RUNNING, _WAITING}),  # retry: continues where it was stopped
    _FAULTED: frozenset({_RUNNING, _WAITING, _COMPLETED}),  # retried, or resolved by a person
    _COMPLETED: frozenset(),
}

ATTEMPT: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.READY: frozenset(
        {AttemptState.CLAIMED, AttemptState.WITHDRAWN, AttemptState.LOST, AttemptState.FAILED}
    ),
    AttemptState.CLAIMED: frozenset(
        {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.LOST}
    ),
    AttemptState.SUCCEEDED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.LOST: frozenset(),
    AttemptState.WITHDRAWN: frozenset(),
}

COMPENSATION: Mapping[Compensation, frozenset[Compensation]] = {
    Compensation.NONE: frozenset({Compensation.RUNNING}),
    # A running compensation may change to none, if the instance has no completed step that can be
    # undone.
    Compensation.RUNNING: frozenset(
        {Compensation.NONE, Compensation.COMPLETED, Compensation.FAILED}
    ),
    Compensation.COMPLETED: frozenset({Compensation.RUNNING}),
    Compensation.FAILED: frozenset({Compensation.RUNNING, Compensation.COMPLETED}),
}


class IllegalMove(OrchestratorError):
    """The table does not allow this change of status."""


S = TypeVar("S", bound=StrEnum)


def change_status(table: Mapping[S, frozenset[S]], old: S, new: S) -> S:
    """Return the new status. Raises `IllegalMove` if the table does not allow the change."""
    if old is not new and new not in table[old]:
        raise IllegalMove(f"{type(old).__name__.lower()} may not go from {old} to {new}")
    return new
