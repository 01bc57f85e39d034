"""Where the workers of a test die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.core.model import AttemptEnd
    from orchestrator.state_manager.claimed_attempt import ClaimedAttempt
    from orchestrator.testing.effects import Effect, Ledger
    from orchestrator.testing.engine import Engine


class MortalWorker(Protocol):
    """A worker whose process can die; see `in_process_worker`."""

    engine: Engine
    ledger: Ledger
    mistake: Any
    tell: Any

    @property
    def is_dead(self) -> bool:
        """Whether the process that runs the present attempt is dead."""

    def die(self) -> None:
        """End the attempt as if its process were killed."""

    def lose_process(self) -> None:
        """The process that ran the attempt is gone."""

    def run_here(self, task: Task[Any, Any], claimed: ClaimedAttempt) -> None:
        """Run a claimed attempt in this process."""

    def record(self, claimed: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Give the engine an attempt's end."""

    def take_effect(self, one: Effect) -> None:
        """Record an effect of an attempt that ran in another process."""


class Deaths:
    """Where workers die: nowhere. `crash_everywhere` has others."""

    def before_body(self, worker: MortalWorker, _: ClaimedAttempt) -> None:
        """A task is about to run."""

    def count_effect(self, number: int) -> None:
        """The attempt that runs has had so many effects."""

    def after_effect(self, worker: MortalWorker, _: ClaimedAttempt, number: int) -> None:
        """A task's n-th effect has happened."""

    def before_commit(self, worker: MortalWorker, _: ClaimedAttempt) -> None:
        """A task's end is about to be committed."""

    def run_apart(
        self, worker: MortalWorker, task: Task[Any, Any], claimed: ClaimedAttempt
    ) -> bool:
        """Run an attempt in a process of its own, if it is to die. Return whether it ran."""
        del worker, task, claimed
        return False
