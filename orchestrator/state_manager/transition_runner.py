"""One transition: decide with the core, save in one statement, say what follows from it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.core import Bounds
from orchestrator.core.model import Attempt, AttemptState, Slice, Step, Stimulus, Transition
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.save_request import (
    Fence,
    LocalClaim,
    SaveRequest,
    SiblingClaim,
)
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer
from orchestrator.state_manager.decision import LockNeeded, decide
from orchestrator.state_manager.store_protocol import TransitionView


def new_token() -> str:
    """What proves a claim: to be kept over its repetitions."""
    return f"{secrets.token_hex(8)}.0"


@dataclass(frozen=True, slots=True)
class CommittedTransition:
    """A transition that has committed, with the slice that follows from it; `taken` is the
    new attempt that its saver runs itself, claimed under `token`, or `sibling` an older one."""

    before: Slice
    transition: Transition
    slice: Slice
    claimed: Attempt | None
    token: str
    sibling: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class TransitionRunner:
    """Runs transitions, on the database itself or on a transaction that holds the lock."""

    evaluate: Evaluate
    limits: Bounds
    queue_of: Callable[[Attempt], str]

    def run(
        self,
        view: TransitionView,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        take: ContinuationOffer | None = None,
        work: ClaimedAttempt | None = None,
        *,
        token: str | None = None,
        locked: bool,
    ) -> CommittedTransition | None:
        """Decide and save; None where the stimulus changes nothing.

        Raises:
            Superseded, Fenced: somebody else was there first.
            LockNeeded: only the holder of the row lock may decide this. That a stimulus changes
                nothing is such a decision: nothing is saved that would compare the version, and
                the instance may have moved on since it was read.
        """
        transition, slice = decide(
            view, workflow, slice, stimulus, self.evaluate, self.limits, locked=locked
        )
        if transition.ignored is not None:
            if not locked:
                raise LockNeeded
            _discard(view, stimulus)
            return None
        token = work.next_token if work else token or new_token()
        chosen = _continuation(transition, take)
        taken = None
        if chosen is not None and take is not None:
            taken = LocalClaim(chosen.id, take.owner.worker, take.owner.process, token)
            # As it is saved: what is decided on it must not depend on who has it in hand.
            queue = chosen.queue or self.queue_of(chosen)
            chosen = replace(chosen, queue=queue, state=AttemptState.CLAIMED)
        fence = Fence(work.attempt.id, work.token) if work else None
        wish = self._sibling_claim(take, work) if locked and taken is None else None
        saving = SaveRequest(slice, stimulus, transition, self.queue_of, fence, taken, wish)
        sibling = view.save(saving)
        return CommittedTransition(
            slice, transition, follow(slice, transition), chosen, token, sibling
        )

    def _sibling_claim(
        self, take: ContinuationOffer | None, work: ClaimedAttempt | None
    ) -> SiblingClaim | None:
        """Another ready branch of the same fork, so that its message need not be waited for."""
        if take is None or work is None or not take.accepts(work.attempt):
            return None
        queue = work.attempt.queue or self.queue_of(work.attempt)
        holder = take.owner
        return SiblingClaim(
            work.attempt.task, queue, holder.worker, holder.process, work.next_token
        )


def _discard(view: TransitionView, stimulus: Stimulus) -> None:
    """What changes nothing leaves the inbox, and its attempt's lease ends."""
    if stimulus.id is not None:
        view.delete_stimulus(stimulus.id)
    if stimulus.ended is not None:
        view.end_attempt(stimulus.ended.attempt, stimulus.ended.state.value)


def _continuation(transition: Transition, take: ContinuationOffer | None) -> Attempt | None:
    if take is None:
        return None
    return next((one for one in transition.attempts if take.accepts(one)), None)


def follow(slice: Slice, transition: Transition) -> Slice:
    """The slice as the saved transition left it: what a continuing worker has in hand."""
    steps = _loaded_steps(slice)
    steps.update((step.id, step) for step in transition.changed)
    steps.update((step.id, step) for step in transition.created)
    return Slice(transition.instance, steps)


def _loaded_steps(slice: Slice) -> dict[int, Step]:
    """The steps of the slice and those that the core asked for besides: a new attempt's
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
