"""The lease on the decisions of one instance, for a decision that takes long.

Theory of operation. Every hint of an instance could begin the same long decision in another
process, until no process is left for other instances. So a decision takes a lease when it has taken
some time, and a process that finds another one's lease leaves the inbox as it is, without a hint.
The lease saves work only: the instance's version and its row lock decide who may save. It ends with
the save, with the loss of its process, or when it expires; the heartbeat renews it.

A process that has had a lease must read the inbox again after the lease has ended: for what came
meanwhile, other processes have left the inbox unread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.database.connection.database import Superseded
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.state_manager.claimed_attempt import LeaseOwner
from orchestrator.state_manager.store_protocol import Store


class LeaseTaken(OrchestratorError):
    """Another process has the lease on the decisions of this instance."""


@dataclass(frozen=True, slots=True)
class Decider:
    """The process that decides. `report` is told the instance on whose decisions it has a lease,
    None at its end, so that the heartbeat renews the lease."""

    owner: LeaseOwner
    report: Callable[[str | None], None]


class DecisionLease:
    """The lease of this process, under `token`, on the decisions of one instance."""

    def __init__(
        self, store: Store, instance: str, token: str, decider: Decider | None, seconds: float
    ) -> None:
        self._store = store
        self._instance = instance
        self.token = token
        self._decider = decider
        self._seconds = seconds
        self._stimulus: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process has the lease."""
        return self._stimulus is not None

    def take(self, stimulus: int) -> None:
        """Take the lease for the decision of a stimulus, and count that it was begun.

        Raises:
            LeaseTaken: another process has it.
            Superseded: the stimulus is gone.
        """
        self._stimulus = stimulus
        worker, process = None, None
        if self._decider is not None:
            self._decider.report(self._instance)
            worker, process = self._decider.owner.worker, self._decider.owner.process
        taken, begun = self._store.take_decision_lease(
            self._instance, stimulus, self.token, worker, process, self._seconds
        )
        if not taken:
            self._forget()
            raise LeaseTaken
        if begun is None:
            raise Superseded

    def forget_after_save(self) -> bool:
        """Forget the lease, which has ended with a save. Return whether there was one."""
        held = self.held
        self._forget()
        return held

    def give_back(self) -> bool:
        """End the lease without a save; the decision does not count as begun. Return whether there
        was one."""
        stimulus = self._stimulus
        if stimulus is None:
            return False
        self._forget()
        with suppress(DatabaseUnavailable):  # it expires
            self._store.end_decision_lease(self._instance, stimulus, self.token)
        return True

    def _forget(self) -> None:
        if self._stimulus is not None and self._decider is not None:
            self._decider.report(None)
        self._stimulus = None
