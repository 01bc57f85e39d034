"""How an instance moves: whoever brings a stimulus runs the transition.

A worker's result comes in by `finish`, everything else waits in the inbox until `drain`
brings it. Both decide with the core and save in one statement: first optimistically where
the step is alone in its instance, else (or when that met another version) under the row
lock. A bringer that cannot have the lock in time leaves its stimulus in the inbox.

Longer than a file should be: claims, results, the inbox and losses are one door, and share what
follows a commit; rooms of their own would be one more call in every step.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.clock import monotonic
from orchestrator.core.attempt_end import end_to_json
from orchestrator.core.engine_version import UnknownEngine
from orchestrator.core.model import AttemptEnd, AttemptState, Stimulus, StimulusKind
from orchestrator.database.connection.database import Fenced, LockTimeout, Superseded
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import to_stimulus
from orchestrator.document.model import Workflow
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import transition_metrics
from orchestrator.state_manager.alone import is_alone
from orchestrator.state_manager.claimed_attempt import (
    ClaimedAttempt,
    ContinuationOffer,
    LeaseOwner,
    claimed_attempt,
)
from orchestrator.state_manager.decision import LockNeeded
from orchestrator.state_manager.post_commit import publish_more, run_post_commit
from orchestrator.state_manager.store_protocol import Store, TransitionView
from orchestrator.state_manager.transition_runner import (
    CommittedTransition,
    TransitionRunner,
    new_token,
)
from orchestrator.state_manager.workflow_cache import WorkflowCache
from orchestrator.task_dispatcher import TaskDispatcher

log = get_logger(__name__)

#: Stimuli of one instance brought in one go before others may have their turn.
MAX_STIMULI = 200

#: Somebody else was there first, or the row lock is needed: try again under the lock.
LOCK_REQUIRED = (Superseded, Fenced, LockNeeded)

#: What bringing a stimulus may meet without anything being wrong with the stimulus.
RETRYABLE = (*LOCK_REQUIRED, LockTimeout, EvaluatorUnavailable, DatabaseUnavailable)


class StimulusFailed(OrchestratorError):
    """A stimulus can't be brought, and trying again would be no different."""

    def __init__(self, stimulus: int, *, before: bool) -> None:
        super().__init__(f"stimulus {stimulus} can't be brought")
        self.stimulus = stimulus
        self.before = before


def _log_unknown_engine(unknown: UnknownEngine) -> None:
    """What is for the instance stays where it is: a beat asks again, and others may know it."""
    log.warning(
        "An instance is of another engine than those of this release, and is left alone",
        action="unknown_engine",
        instance=unknown.instance,
        engine=unknown.engine,
    )


@dataclass(frozen=True, slots=True)
class StateManager:
    """The door to an instance's state. Every method may raise `DatabaseUnavailable`: then
    nothing is known, and the same call may be made again."""

    store: Store
    dispatcher: TaskDispatcher
    workflows: WorkflowCache
    time: DatabaseClock
    runner: TransitionRunner
    seed: Callable[[], int] = lambda: secrets.randbits(63)
    meter: Meter = field(default_factory=Meter)

    # Claims

    def claim_attempt(
        self,
        attempt_id: str,
        instance_id: str,
        task: str,
        holder: LeaseOwner,
        token: str | None = None,
    ) -> ClaimedAttempt | None:
        """Claim an attempt for this process; None is a definite refusal: drop the message.

        A caller that repeats the claim after `DatabaseUnavailable` gives the same token
        (`new_token`) and gets the first answer.
        """
        token = token or new_token()
        try:
            snapshot = self.store.claim(
                attempt_id, instance_id, task, holder.worker, holder.process, token
            )
        except UnknownEngine as unknown:
            _log_unknown_engine(unknown)
            snapshot = None
        if snapshot is None:
            self.meter.count(metrics.REFUSALS, ("claim",))
            return None
        work = self._claimed(snapshot, holder, token, "message")
        publish_more(work.slice, self._queue(work), self.store, self.dispatcher)
        return work

    def _claimed(
        self, snapshot: Snapshot, holder: LeaseOwner, token: str, how: str
    ) -> ClaimedAttempt:
        work = self._work(snapshot, holder, token)
        transition_metrics.count_claim(
            self.meter, work.attempt, self._queue(work), snapshot.now, how
        )
        return work

    def _queue(self, work: ClaimedAttempt) -> str:
        return work.attempt.queue or self.dispatcher.queue_of(work.attempt)

    def _work(self, snapshot: Snapshot, holder: LeaseOwner, token: str) -> ClaimedAttempt:
        self.time.observe(snapshot.now)
        workflow = self.workflows.get(snapshot.slice.instance.workflow_id)
        attempt = snapshot.slice.attempt
        assert attempt is not None  # noqa: S101  a claim returns its attempt
        return claimed_attempt(
            workflow, snapshot.slice, attempt, holder, token, snapshot.inbox, snapshot.now
        )

    # Results

    def commit_result(
        self, work: ClaimedAttempt, ended: AttemptEnd, take: ContinuationOffer | None = None
    ) -> ClaimedAttempt | None:
        """Commit how an attempt ended; returns the attempt taken for local continuation.

        Repeating it after a lost reply returns the first answer. A stale result changes
        nothing and is counted.
        """
        began = monotonic()
        stimulus = Stimulus(
            StimulusKind.RESULT, self.time.now(), self.seed(), step=work.step.id, ended=ended
        )
        try:
            saved = self._commit_optimistically(work, stimulus, take)
            if saved is None:
                return self._commit_under_lock(work, stimulus, take, began)
        except (LockTimeout, EvaluatorUnavailable, Superseded) as reason:
            if self.store.ended_under_token(work.attempt.id, work.token):
                return self._repeated_answer(work)
            self._leave_in_inbox(work, ended, reason)
            return None
        return self._post_commit(saved, work.workflow, take, "result", began)

    def _commit_optimistically(
        self, work: ClaimedAttempt, stimulus: Stimulus, take: ContinuationOffer | None
    ) -> CommittedTransition | None:
        if work.inbox or not is_alone(work.slice):
            return None
        try:
            return self.runner.run(
                self.store, work.workflow, work.slice, stimulus, take, work, locked=False
            )
        except LOCK_REQUIRED:
            return None

    def _commit_under_lock(
        self, work: ClaimedAttempt, stimulus: Stimulus, take: ContinuationOffer | None, began: float
    ) -> ClaimedAttempt | None:
        try:
            with self.store.locking() as view:
                snapshot = view.lock_slice(work.instance_id, work.step.id, work.attempt.id)
                attempt = snapshot.slice.attempt
                if attempt is None or attempt.state is not AttemptState.CLAIMED:
                    raise Fenced
                saved = self.runner.run(
                    view, work.workflow, snapshot.slice, stimulus, take, work, locked=True
                )
        except Fenced:
            return self._repeated_answer(work)
        if snapshot.inbox:
            self.dispatcher.hint(work.instance_id)
        if saved is None:
            self._count_stale(work)
            return None
        following = self._post_commit(saved, work.workflow, take, "result", began)
        if following is None and saved.sibling is not None and take is not None:
            following = self._claimed(saved.sibling, take.owner, saved.token, "continued")
        if following is None:
            publish_more(saved.slice, self._queue(work), self.store, self.dispatcher)
        return following

    def _repeated_answer(self, work: ClaimedAttempt) -> ClaimedAttempt | None:
        """The attempt has ended: by this very result, whose reply was lost, or otherwise."""
        if not self.store.ended_under_token(work.attempt.id, work.token):
            self._count_stale(work)
            return None
        snapshot = self.store.claimed_under_token(work.instance_id, work.next_token)
        return self._work(snapshot, work.holder, work.next_token) if snapshot else None

    def _count_stale(self, work: ClaimedAttempt) -> None:
        self.meter.count(metrics.REFUSALS, ("stale",))
        log.warning(
            "A result came too late and was refused",
            action="stale_result",
            instance=work.instance_id,
            step=work.step.id,
            attempt=work.attempt.id,
        )

    def _leave_in_inbox(self, work: ClaimedAttempt, ended: AttemptEnd, reason: Exception) -> None:
        """Put the result into the inbox: whoever comes next brings it."""
        self.store.put_stimulus(
            work.instance_id,
            StimulusKind.RESULT,
            step=work.step.id,
            attempt=work.attempt.id,
            data={**end_to_json(ended), "traceback": ended.traceback},
            key=f"result:{work.attempt.id}",
        )
        log.info(
            "A result waits in the inbox",
            action="result_left",
            instance=work.instance_id,
            attempt=work.attempt.id,
            reason=repr(reason),
        )
        self.dispatcher.hint(work.instance_id)

    # Everything else

    def process_inbox(
        self,
        instance_id: str,
        take: ContinuationOffer | None = None,
        token: str | None = None,
        *,
        again: bool = False,
    ) -> ClaimedAttempt | None:
        """Bring the waiting stimuli of an instance, oldest first; returns an attempt taken
        for local continuation, if `take` accepted one.

        A caller that repeats this after `DatabaseUnavailable` gives the same token and says
        `again`: it gets back what the first call took, whose reply was lost.
        """
        token = token or new_token()
        taken = self._claimed_before(instance_id, take, token) if again else None
        for _ in range(MAX_STIMULI):
            offer, began = take if taken is None else None, monotonic()
            try:
                saved, workflow, more = self._apply_next(instance_id, offer, token)
            except LockTimeout:
                self.dispatcher.hint(instance_id)  # whoever holds the lock may not look again
                return taken
            except EvaluatorUnavailable:
                return taken  # a beat asks again
            except DatabaseUnavailable:
                if taken is None:
                    raise
                return taken  # what is ours runs; a beat asks again for the rest
            except UnknownEngine as unknown:
                _log_unknown_engine(unknown)
                return taken
            except (Superseded, StimulusFailed) as reason:
                # Superseded even under the lock: what it was decided on has changed. Look again.
                if isinstance(reason, Superseded) or self._defer(instance_id, reason):
                    continue
                return taken
            if workflow is None:
                return taken
            if saved is not None:
                taken = self._post_commit(saved, workflow, offer, "inbox", began) or taken
            else:
                self.dispatcher.match(workflow.namespace)  # an event is others' to take now
            if not more:
                return taken
        self.dispatcher.hint(instance_id)
        return taken

    def _claimed_before(
        self, instance: str, take: ContinuationOffer | None, token: str
    ) -> ClaimedAttempt | None:
        """What a call with the same token has taken, whose reply was lost."""
        if take is None:
            return None
        snapshot = self.store.claimed_under_token(instance, token)
        return self._work(snapshot, take.owner, token) if snapshot else None

    def _defer(self, instance: str, stuck: StimulusFailed) -> bool:
        """Let what waits behind a stimulus go first; False: it stood last already."""
        log.error(
            "A stimulus can't be brought; what waits behind it goes first",
            action="stimulus_stuck",
            instance=instance,
            stimulus=stuck.stimulus,
            exc_info=stuck,
        )
        if stuck.before:
            return False
        self.store.defer_stimulus(stuck.stimulus)
        return True

    def _apply_next(
        self, instance_id: str, take: ContinuationOffer | None, token: str
    ) -> tuple[CommittedTransition | None, Workflow | None, bool]:
        """Bring one stimulus; whether others waited with it, or came of it. No workflow:
        nothing waits. No save: it changed nothing."""
        snapshot = self.store.read_inbox(instance_id)
        if snapshot is None:
            return None, None, False
        if is_alone(snapshot.slice):
            try:
                return self._apply(self.store, snapshot, take, token, locked=False)
            except LOCK_REQUIRED:
                pass
        with self.store.locking() as view:
            snapshot = view.lock_inbox(instance_id)
            if snapshot is None:
                return None, None, False
            return self._apply(view, snapshot, take, token, locked=True)

    def _apply(
        self,
        view: TransitionView,
        snapshot: Snapshot,
        take: ContinuationOffer | None,
        token: str,
        *,
        locked: bool,
    ) -> tuple[CommittedTransition | None, Workflow, bool]:
        self.time.observe(snapshot.now)
        assert snapshot.stimulus is not None  # noqa: S101  read_inbox returns one
        try:
            workflow = self.workflows.get(snapshot.slice.instance.workflow_id)
            stimulus = to_stimulus(snapshot.stimulus, snapshot.now, self.seed())
            saved = self.runner.run(
                view, workflow, snapshot.slice, stimulus, take, token=token, locked=locked
            )
        except RETRYABLE:
            raise
        except Exception as error:
            note = snapshot.stimulus
            raise StimulusFailed(note["id"], before=note.get("set_aside", False)) from error
        # What is put there from now on has a hint of its own.
        return saved, workflow, snapshot.inbox > 1 or bool(saved and saved.transition.stimuli)

    def _post_commit(
        self,
        saved: CommittedTransition,
        workflow: Workflow,
        take: ContinuationOffer | None,
        source: str,
        began: float,
    ) -> ClaimedAttempt | None:
        transition_metrics.count_transition(
            self.meter, saved, workflow, source, monotonic() - began
        )
        try:
            run_post_commit(saved, self.store, self.dispatcher, self.time)
        except DatabaseUnavailable:
            log.info("The beats see to what follows a commit", action="follow_up_left")
        if saved.claimed is None or take is None:
            return None
        now = self.time.now()
        work = claimed_attempt(
            workflow, saved.slice, saved.claimed, take.owner, saved.token, 0, now
        )
        transition_metrics.count_claim(
            self.meter, work.attempt, self._queue(work), now, "continued"
        )
        return work

    # Losses

    def report_lost_process(
        self, holder: LeaseOwner, error: dict[str, Any], state: AttemptState = AttemptState.LOST
    ) -> int:
        """Every live attempt of that process ended with it; returns how many there were.

        They are lost, and may start again; or they have failed, where the process was killed
        for what they did (a hard time limit), as Celery sees it.
        """
        held = self.store.claimed_by(holder.worker, holder.process)
        for attempt, instance, step in held:
            self.report_lost_attempt(attempt, instance, step, error, state)
        return len(held)

    def report_lost_attempt(
        self,
        attempt: str,
        instance: str,
        step: int,
        error: dict[str, Any],
        state: AttemptState = AttemptState.LOST,
    ) -> None:
        """One attempt's end is known from outside only: its outcome is unknown."""
        ended = AttemptEnd(attempt, state, error=error, unknown=True)
        self.store.put_stimulus(
            instance,
            StimulusKind.RESULT,
            step=step,
            attempt=attempt,
            data=end_to_json(ended),
            key=f"lost:{attempt}",
        )
        self.dispatcher.hint(instance)
