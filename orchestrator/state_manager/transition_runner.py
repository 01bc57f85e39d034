"""Runs one transition: decides with the core, saves in one statement, returns the new slice."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from orchestrator.core import Bounds
from orchestrator.core.model import Attempt, AttemptState, Slice, Step, Stimulus, Transition
from orchestrator.database.connection.database import Superseded
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.save_request import (
    Fence,
    LocalClaim,
    SaveRequest,
    SiblingClaim,
)
from orchestrator.document.model import Workflow
from orchestrator.errors import DatabaseUnavailable
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer
from orchestrator.state_manager.decision import LockNeeded, decide
from orchestrator.state_manager.decision_lease import DecisionLease, LeaseTaken
from orchestrator.state_manager.deliberation import Deliberation
from orchestrator.state_manager.store_protocol import TransitionView

log = get_logger(__name__)


def new_token() -> str:
    """Return a new token for a claim. A repetition of the claim must use the same token."""
    return f"{secrets.token_hex(8)}.0"


@dataclass(frozen=True, slots=True)
class CommittedTransition:
    """A committed transition and the slice after it. The process that saved it continues with one
    attempt, claimed under `token`: `claimed`, created by this transition, or `sibling`, which was
    ready before."""

    before: Slice
    transition: Transition
    slice: Slice
    claimed: Attempt | None
    token: str
    sibling: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class TransitionRunner:
    """Runs transitions, directly on the database or in a transaction that has the row lock.

    `deliberate` returns the deliberation of a new decision; its argument is `on_long`. `guard`
    returns the context of each decision, which may bound its time."""

    deliberate: Callable[[Callable[[], None] | None], Deliberation]
    limits: Bounds
    queue_of: Callable[[Attempt], str]
    guard: Callable[[], AbstractContextManager[None]] = nullcontext

    def evaluate_ahead(
        self,
        view: TransitionView,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        deliberation: Deliberation,
    ) -> None:
        """Decide outside of the row lock and discard the decision, so that its expressions are
        known to the next one under the lock. Raises what says nothing about the decision."""
        try:
            self._decide(view, workflow, slice, stimulus, deliberation, locked=False)
        except (DatabaseUnavailable, EvaluatorUnavailable, LeaseTaken, Superseded):
            raise
        except LockNeeded:
            pass
        except Exception as error:  # noqa: BLE001  the decision under the lock raises it again
            log.debug(
                "A decision failed outside of the lock", action="evaluate_ahead", error=repr(error)
            )

    def run(
        self,
        view: TransitionView,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        deliberation: Deliberation,
        offer: ContinuationOffer | None = None,
        current: ClaimedAttempt | None = None,
        *,
        token: str | None = None,
        lease: DecisionLease | None = None,
        locked: bool,
    ) -> CommittedTransition | None:
        """Decide and save. Return None if the stimulus changes nothing. `current`: the attempt
        whose result the stimulus is. `lease`: that of this process; the save ends it.

        Raises:
            EvaluationAsked: the decision needs the sandbox, and `locked` is True.
            Superseded, Fenced: another process saved a transition or ended the attempt first.
            LockNeeded: the decision needs the row lock. So does the decision that a stimulus
                changes nothing: no save compares the instance's version then, and the instance
                may have changed since it was read.
        """
        transition, slice = self._decide(
            view, workflow, slice, stimulus, deliberation, locked=locked
        )
        if transition.ignored is not None:
            if not locked:
                raise LockNeeded
            _discard(view, stimulus)
            return None
        token = current.next_token if current else token or new_token()
        attempt, claim = self._local_claim(transition, offer, token)
        fence = Fence(current.attempt.id, current.token) if current else None
        sibling = self._sibling_claim(offer, current) if locked and claim is None else None
        request = SaveRequest(
            slice,
            stimulus,
            transition,
            self.queue_of,
            fence,
            claim,
            sibling,
            lease.token if lease is not None and lease.held else None,
        )
        saved_sibling = view.save(request)
        return CommittedTransition(
            slice, transition, slice_after(slice, transition), attempt, token, saved_sibling
        )

    def _decide(
        self,
        view: TransitionView,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        deliberation: Deliberation,
        *,
        locked: bool,
    ) -> tuple[Transition, Slice]:
        with self.guard():
            return decide(view, workflow, slice, stimulus, deliberation, self.limits, locked=locked)

    def _local_claim(
        self, transition: Transition, offer: ContinuationOffer | None, token: str
    ) -> tuple[Attempt, LocalClaim] | tuple[None, None]:
        """Return the new attempt with which the worker continues, and its claim."""
        attempt = _continuation(transition, offer)
        if attempt is None or offer is None:
            return None, None
        # Give the claimed attempt the same queue and state that its saved row has. So the next
        # decision is the same in this process as in a process that reads the row.
        claimed = replace(
            attempt,
            queue=attempt.queue or self.queue_of(attempt),
            state=AttemptState.CLAIMED,
        )
        return claimed, LocalClaim(attempt.id, offer.owner.worker, offer.owner.process, token)

    def _sibling_claim(
        self, offer: ContinuationOffer | None, current: ClaimedAttempt | None
    ) -> SiblingClaim | None:
        """Return a claim of another ready branch of the same fork, so that the worker need not
        wait for a message."""
        if offer is None or current is None or not offer.accepts(current.attempt):
            return None
        queue = current.attempt.queue or self.queue_of(current.attempt)
        owner = offer.owner
        return SiblingClaim(
            current.attempt.task, queue, owner.worker, owner.process, current.next_token
        )


def _discard(view: TransitionView, stimulus: Stimulus) -> None:
    """Remove a stimulus that changes nothing from the inbox, and end its attempt's lease."""
    if stimulus.id is not None:
        view.delete_stimulus(stimulus.id)
    if stimulus.ended is not None:
        view.end_attempt(stimulus.ended.attempt, stimulus.ended.state.value)
        if stimulus.ended.state is not AttemptState.LOST:
            view.record_late_result(stimulus.ended.attempt, stimulus.ended.state.value)


def _continuation(transition: Transition, offer: ContinuationOffer | None) -> Attempt | None:
    if offer is None:
        return None
    return next((attempt for attempt in transition.attempts if offer.accepts(attempt)), None)


def slice_after(slice: Slice, transition: Transition) -> Slice:
    """Return the slice after the saved transition: a worker that continues decides on it."""
    steps = _loaded_steps(slice)
    steps.update((step.id, step) for step in transition.changed)
    steps.update((step.id, step) for step in transition.created)
    return Slice(transition.instance, steps)


def _loaded_steps(slice: Slice) -> dict[int, Step]:
    """Return the steps of the slice and those that the core loaded besides: a new attempt's
    ancestors are among them."""
    steps: dict[int, Step] = {}
    for need, answer in slice.loaded.items():
        if need.what == "step":
            steps.update(answer)
        elif need.what == "open":
            steps.update((step.id, step) for step, _ in answer)
        elif need.what == "stopped":
            steps.update((step.id, step) for step in answer)
        elif need.what == "undo":
            steps.update(answer[1])
    steps.update(slice.steps)
    return steps
