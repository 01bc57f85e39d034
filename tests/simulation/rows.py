"""The rows of the simulated database."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestrator.core.model import Attempt, AttemptState, Instance, ItemChunk, Json, Step
from orchestrator.document.model import Workflow
from orchestrator.testing import in_memory_slices

READY, CLAIMED, WITHDRAWN = AttemptState.READY, AttemptState.CLAIMED, AttemptState.WITHDRAWN
LIVE = (READY, CLAIMED)


class AttemptRow:
    """A row of ``attempts``: the core's part of it, and the rest."""

    __slots__ = (
        "claimed_at",
        "created_at",
        "instance",
        "process",
        "publish_count",
        "published_at",
        "queue",
        "signs",
        "token",
        "value",
        "worker",
    )

    def __init__(self, instance: str, value: Attempt, queue: str, now: float) -> None:
        self.instance, self.value, self.queue = instance, value, queue
        self.created_at = now
        self.published_at: float | None = None
        self.publish_count = 0
        self.claimed_at: float | None = None
        self.worker: str | None = None
        self.process: int | None = None
        self.token: str | None = None
        #: When it was last claimed or reported as held, and the longest silence since.
        self.signs = (0.0, 0.0)

    def take(self, worker: str, process: int, token: str, now: float) -> None:
        """Claim the attempt."""
        self.value = replace(self.value, state=CLAIMED)
        self.worker, self.process, self.token, self.claimed_at = worker, process, token, now
        self.signs = (now, 0.0)


@dataclass(slots=True)
class WorkerRow:
    """A row of ``workers``."""

    queues: tuple[str, ...]
    heartbeat_count: int = 0
    in_flight: tuple[str, ...] = ()
    free_slots: int = 0
    last_heartbeat_at: float = 0.0
    stopping: bool = False
    stopped: bool = False


@dataclass(slots=True)
class HistoryRow:
    """A row of ``history``."""

    sequence: int
    at: datetime
    seed: int
    stimulus: dict[str, Json]
    facts: tuple[Any, ...]


@dataclass(slots=True)
class Rows:
    """All rows of one instance."""

    value: Instance
    workflow: Workflow
    #: What the instance remembered when it was made.
    first_state: Json = None
    steps: dict[int, Step] = field(default_factory=dict)
    attempts: list[AttemptRow] = field(default_factory=list)
    inbox: dict[int, dict[str, Any]] = field(default_factory=dict)
    timers: dict[tuple[int, str], float] = field(default_factory=dict)
    listeners: dict[int, Any] = field(default_factory=dict)
    chunks: dict[tuple[int, int], ItemChunk] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    letters: list[Json] = field(default_factory=list)
    letters_closed: list[Json] = field(default_factory=list)

    def copy(self) -> Rows:
        """The same rows, which may change apart from these."""
        return Rows(
            self.value,
            self.workflow,
            self.first_state,
            dict(self.steps),
            [copy(row) for row in self.attempts],
            {id: dict(row) for id, row in self.inbox.items()},
            dict(self.timers),
            dict(self.listeners),
            dict(self.chunks),
            list(self.history),
            list(self.letters),
            list(self.letters_closed),
        )

    def chain(self, step: int) -> dict[int, Step]:
        """A step and its ancestors."""
        return in_memory_slices.chain(self.steps, step)
