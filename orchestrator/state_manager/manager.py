"""The facade of the State Manager: the process that has a stimulus runs the transition itself.

A worker commits its result with `commit_result`; every other stimulus waits in the inbox until
`process_inbox` applies it. Both decide with the core and save in one statement: optimistically
where the instance has one open place, otherwise, or after a conflict, under its row lock. A
process that can't get the lock in time leaves its stimulus in the inbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.state_manager import claims, inbox, lost_attempts, results
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer, LeaseOwner
from orchestrator.state_manager.decision_lease import Decider
from orchestrator.state_manager.dependencies import Dependencies


@dataclass(frozen=True, slots=True)
class StateManager(Dependencies):
    """All changes of instances by workers and beats. Every method may raise
    `DatabaseUnavailable`: the caller can't know whether it took effect, and may repeat it."""

    def claim_attempt(
        self,
        attempt_id: str,
        instance_id: str,
        task: str,
        owner: LeaseOwner,
        token: str | None = None,
    ) -> ClaimedAttempt | None:
        """Claim an attempt for this process. None is a final refusal: drop the message.

        A caller that repeats the claim after `DatabaseUnavailable` passes the same token
        (`new_token`) and gets the first answer.
        """
        return claims.claim_attempt(self, attempt_id, instance_id, task, owner, token)

    def commit_result(
        self, claimed: ClaimedAttempt, ended: AttemptEnd, offer: ContinuationOffer | None = None
    ) -> ClaimedAttempt | None:
        """Commit how an attempt ended. Return the attempt that the worker continues with, one
        that `offer` accepts, or None.

        Repeating the call after a lost reply returns the first answer. A stale result changes
        nothing and is counted.
        """
        self.dispatcher.refresh_routes()
        return results.commit_result(self, claimed, ended, offer)

    def process_inbox(
        self,
        instance_id: str,
        offer: ContinuationOffer | None = None,
        token: str | None = None,
        *,
        is_repeat: bool = False,
        decider: Decider | None = None,
    ) -> ClaimedAttempt | None:
        """Apply the waiting stimuli of an instance, oldest first. Return the attempt that the
        worker continues with, one that `offer` accepts, or None.

        A caller that repeats this after `DatabaseUnavailable` passes the same token and
        `is_repeat`: it gets the attempt that the first call claimed. `decider`: the process, for
        the lease of a decision that takes long.
        """
        self.dispatcher.refresh_routes()
        return inbox.process_inbox(
            self, instance_id, offer, token, is_repeat=is_repeat, decider=decider
        )

    def report_lost_process(
        self, owner: LeaseOwner, error: dict[str, Any], state: AttemptState = AttemptState.LOST
    ) -> int:
        """Report that all claimed attempts and decisions of a process ended with it. Return the
        number of attempts.

        State LOST: they may start again. State FAILED: the process was killed because of them
        (a hard time limit), which Celery treats as a failure.
        """
        return lost_attempts.report_lost_process(self, owner, error, state)

    def report_lost_attempt(
        self,
        attempt: str,
        instance: str,
        step: int,
        error: dict[str, Any],
        state: AttemptState = AttemptState.LOST,
    ) -> None:
        """Report that one attempt ended without a result: its outcome is unknown."""
        lost_attempts.report_lost_attempt(self, attempt, instance, step, error, state)
