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
from orchestrator.core.engine import UnknownEngine
from orchestrator.core.values import AttemptState, Ended, Stimulus, StimulusKind
from orchestrator.database.connection import Busy, Fenced, Superseded
from orchestrator.database.rows import to_stimulus
from orchestrator.database.slices import Snapshot
from orchestrator.database.story import ended_to_json
from orchestrator.database.time import DatabaseTime
from orchestrator.document.model import Workflow
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import measuring
from orchestrator.state_manager.aftermath import follow_up, spread
from orchestrator.state_manager.alone import is_alone
from orchestrator.state_manager.bringing import Bringer, Saved, new_token
from orchestrator.state_manager.deciding import LockNeeded
from orchestrator.state_manager.store import Store, View
from orchestrator.state_manager.work import Holder, Take, Work, work_of
from orchestrator.state_manager.workflows import Workflows
from orchestrator.task_dispatcher import TaskDispatcher

log = get_logger(__name__)

#: Stimuli of one instance brought in one go before others may have their turn.
DRAIN = 200

#: Somebody else was there first, or the row lock is needed: try again under the lock.
NOT_ALONE = (Superseded, Fenced, LockNeeded)

#: What bringing a stimulus may meet without anything being wrong with the stimulus.
EXPECTED = (*NOT_ALONE, Busy, EvaluatorUnavailable, DatabaseUnavailable)


class Stuck(OrchestratorError):
    """A stimulus can't be brought, and trying again would be no different."""

    def __init__(self, stimulus: int, *, before: bool) -> None:
        super().__init__(f"stimulus {stimulus} can't be brought")
        self.stimulus = stimulus
        self.before = before


def _leave_alone(unknown: UnknownEngine) -> None:
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
    workflows: Workflows
    time: DatabaseTime
    bringer: Bringer
    seed: Callable[[], int] = lambda: secrets.randbits(63)
    meter: Meter = field(default_factory=Meter)

    # Claims

    def claim(
        self,
        attempt_id: str,
        instance_id: str,
        task: str,
        holder: Holder,
        token: str | None = None,
    ) -> Work | None:
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
            _leave_alone(unknown)
            snapshot = None
        if snapshot is None:
            self.meter.count(metrics.REFUSALS, ("claim",))
            return None
        work = self._claimed(snapshot, holder, token, "message")
        spread(work.slice, self._queue(work), self.store, self.dispatcher)
        return work

    def _claimed(self, snapshot: Snapshot, holder: Holder, token: str, how: str) -> Work:
        work = self._work(snapshot, holder, token)
        measuring.claimed(self.meter, work.attempt, self._queue(work), snapshot.now, how)
        return work

    def _queue(self, work: Work) -> str:
        return work.attempt.queue or self.dispatcher.queue_of(work.attempt)

    def _work(self, snapshot: Snapshot, holder: Holder, token: str) -> Work:
        self.time.saw(snapshot.now)
        workflow = self.workflows.get(snapshot.slice.instance.workflow_id)
        attempt = snapshot.slice.attempt
        assert attempt is not None  # noqa: S101  a claim returns its attempt
        return work_of(
            workflow, snapshot.slice, attempt, holder, token, snapshot.inbox, snapshot.now
        )

    # Results

    def finish(self, work: Work, ended: Ended, take: Take | None = None) -> Work | None:
        """Commit how an attempt ended; returns the attempt taken for local continuation.

        Repeating it after a lost reply returns the first answer. A stale result changes
        nothing and is counted.
        """
        began = monotonic()
        stimulus = Stimulus(
            StimulusKind.RESULT, self.time.now(), self.seed(), step=work.step.id, ended=ended
        )
        try:
            saved = self._finish_alone(work, stimulus, take)
            if saved is None:
                return self._finish_locked(work, stimulus, take, began)
        except (Busy, EvaluatorUnavailable, Superseded) as reason:
            if self.store.ended_with(work.attempt.id, work.token):
                return self._first_answer(work)
            self._leave(work, ended, reason)
            return None
        return self._after(saved, work.workflow, take, "result", began)

    def _finish_alone(self, work: Work, stimulus: Stimulus, take: Take | None) -> Saved | None:
        if work.inbox or not is_alone(work.slice):
            return None
        try:
            return self.bringer.bring(
                self.store, work.workflow, work.slice, stimulus, take, work, locked=False
            )
        except NOT_ALONE:
            return None

    def _finish_locked(
        self, work: Work, stimulus: Stimulus, take: Take | None, began: float
    ) -> Work | None:
        try:
            with self.store.locking() as view:
                snapshot = view.lock(work.instance_id, work.step.id, work.attempt.id)
                attempt = snapshot.slice.attempt
                if attempt is None or attempt.state is not AttemptState.CLAIMED:
                    raise Fenced
                saved = self.bringer.bring(
                    view, work.workflow, snapshot.slice, stimulus, take, work, locked=True
                )
        except Fenced:
            return self._first_answer(work)
        if snapshot.inbox:
            self.dispatcher.hint(work.instance_id)
        if saved is None:
            self._refuse(work)
            return None
        following = self._after(saved, work.workflow, take, "result", began)
        if following is None and saved.sibling is not None and take is not None:
            following = self._claimed(saved.sibling, take.holder, saved.token, "continued")
        if following is None:
            spread(saved.slice, self._queue(work), self.store, self.dispatcher)
        return following

    def _first_answer(self, work: Work) -> Work | None:
        """The attempt has ended: by this very result, whose reply was lost, or otherwise."""
        if not self.store.ended_with(work.attempt.id, work.token):
            self._refuse(work)
            return None
        snapshot = self.store.claimed_with(work.instance_id, work.next_token)
        return self._work(snapshot, work.holder, work.next_token) if snapshot else None

    def _refuse(self, work: Work) -> None:
        self.meter.count(metrics.REFUSALS, ("stale",))
        log.warning(
            "A result came too late and was refused",
            action="stale_result",
            instance=work.instance_id,
            step=work.step.id,
            attempt=work.attempt.id,
        )

    def _leave(self, work: Work, ended: Ended, reason: Exception) -> None:
        """Put the result into the inbox: whoever comes next brings it."""
        self.store.put(
            work.instance_id,
            StimulusKind.RESULT,
            step=work.step.id,
            attempt=work.attempt.id,
            data={**ended_to_json(ended), "traceback": ended.traceback},
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

    def drain(
        self,
        instance_id: str,
        take: Take | None = None,
        token: str | None = None,
        *,
        again: bool = False,
    ) -> Work | None:
        """Bring the waiting stimuli of an instance, oldest first; returns an attempt taken
        for local continuation, if `take` accepted one.

        A caller that repeats this after `DatabaseUnavailable` gives the same token and says
        `again`: it gets back what the first call took, whose reply was lost.
        """
        token = token or new_token()
        taken = self._taken_before(instance_id, take, token) if again else None
        for _ in range(DRAIN):
            offer, began = take if taken is None else None, monotonic()
            try:
                saved, workflow, more = self._bring_next(instance_id, offer, token)
            except Busy:
                self.dispatcher.hint(instance_id)  # whoever holds the lock may not look again
                return taken
            except EvaluatorUnavailable:
                return taken  # a beat asks again
            except DatabaseUnavailable:
                if taken is None:
                    raise
                return taken  # what is ours runs; a beat asks again for the rest
            except UnknownEngine as unknown:
                _leave_alone(unknown)
                return taken
            except (Superseded, Stuck) as reason:
                # Superseded even under the lock: what it was decided on has changed. Look again.
                if isinstance(reason, Superseded) or self._pass_over(instance_id, reason):
                    continue
                return taken
            if workflow is None:
                return taken
            if saved is not None:
                taken = self._after(saved, workflow, offer, "inbox", began) or taken
            else:
                self.dispatcher.match(workflow.namespace)  # an event is others' to take now
            if not more:
                return taken
        self.dispatcher.hint(instance_id)
        return taken

    def _taken_before(self, instance: str, take: Take | None, token: str) -> Work | None:
        """What a call with the same token has taken, whose reply was lost."""
        if take is None:
            return None
        snapshot = self.store.claimed_with(instance, token)
        return self._work(snapshot, take.holder, token) if snapshot else None

    def _pass_over(self, instance: str, stuck: Stuck) -> bool:
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
        self.store.set_aside(stuck.stimulus)
        return True

    def _bring_next(
        self, instance_id: str, take: Take | None, token: str
    ) -> tuple[Saved | None, Workflow | None, bool]:
        """Bring one stimulus; whether others waited with it, or came of it. No workflow:
        nothing waits. No save: it changed nothing."""
        snapshot = self.store.read_inbox(instance_id)
        if snapshot is None:
            return None, None, False
        if is_alone(snapshot.slice):
            try:
                return self._bring_noted(self.store, snapshot, take, token, locked=False)
            except NOT_ALONE:
                pass
        with self.store.locking() as view:
            snapshot = view.lock_inbox(instance_id)
            if snapshot is None:
                return None, None, False
            return self._bring_noted(view, snapshot, take, token, locked=True)

    def _bring_noted(
        self,
        view: View,
        snapshot: Snapshot,
        take: Take | None,
        token: str,
        *,
        locked: bool,
    ) -> tuple[Saved | None, Workflow, bool]:
        self.time.saw(snapshot.now)
        assert snapshot.stimulus is not None  # noqa: S101  read_inbox returns one
        try:
            workflow = self.workflows.get(snapshot.slice.instance.workflow_id)
            stimulus = to_stimulus(snapshot.stimulus, snapshot.now, self.seed())
            saved = self.bringer.bring(
                view, workflow, snapshot.slice, stimulus, take, token=token, locked=locked
            )
        except EXPECTED:
            raise
        except Exception as error:
            note = snapshot.stimulus
            raise Stuck(note["id"], before=note.get("set_aside", False)) from error
        # What is put there from now on has a hint of its own.
        return saved, workflow, snapshot.inbox > 1 or bool(saved and saved.transition.stimuli)

    def _after(
        self, saved: Saved, workflow: Workflow, take: Take | None, source: str, began: float
    ) -> Work | None:
        measuring.moved(self.meter, saved, workflow, source, monotonic() - began)
        try:
            follow_up(saved, self.store, self.dispatcher, self.time)
        except DatabaseUnavailable:
            log.info("The beats see to what follows a commit", action="follow_up_left")
        if saved.taken is None or take is None:
            return None
        now = self.time.now()
        work = work_of(workflow, saved.slice, saved.taken, take.holder, saved.token, 0, now)
        measuring.claimed(self.meter, work.attempt, self._queue(work), now, "continued")
        return work

    # Losses

    def lose(
        self, holder: Holder, error: dict[str, Any], state: AttemptState = AttemptState.LOST
    ) -> int:
        """Every live attempt of that process ended with it; returns how many there were.

        They are lost, and may start again; or they have failed, where the process was killed
        for what they did (a hard time limit), as Celery sees it.
        """
        held = self.store.held_by(holder.worker, holder.process)
        for attempt, instance, step in held:
            self.lose_attempt(attempt, instance, step, error, state)
        return len(held)

    def lose_attempt(
        self,
        attempt: str,
        instance: str,
        step: int,
        error: dict[str, Any],
        state: AttemptState = AttemptState.LOST,
    ) -> None:
        """One attempt's end is known from outside only: its outcome is unknown."""
        ended = Ended(attempt, state, error=error, unknown=True)
        self.store.put(
            instance,
            StimulusKind.RESULT,
            step=step,
            attempt=attempt,
            data=ended_to_json(ended),
            key=f"lost:{attempt}",
        )
        self.dispatcher.hint(instance)
