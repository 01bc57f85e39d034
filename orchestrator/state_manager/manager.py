"""How an instance moves: whoever brings a stimulus runs the transition.

A worker's result comes in by `finish`, everything else waits in the inbox until `drain`
brings it. Both decide with the core and save in one statement: first optimistically where
the step is alone in its instance, else (or when that met another version) under the row
lock. A bringer that cannot have the lock in time leaves its stimulus in the inbox.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from orchestrator.core import Limits
from orchestrator.core.values import (
    Attempt,
    AttemptState,
    Ended,
    Slice,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.database import attempts, slices, stimuli, timers, workers
from orchestrator.database.connection import LOCKING, Busy, Database, Fenced, Superseded
from orchestrator.database.rows import to_stimulus
from orchestrator.database.slices import Reader, Snapshot
from orchestrator.database.time import DatabaseTime
from orchestrator.database.transitions import (
    PUBLISHED_AT_ONCE,
    Fence,
    Saving,
    Taken,
    ended_to_json,
    save,
)
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate, EvaluatorUnavailable
from orchestrator.state_manager.alone import is_alone
from orchestrator.state_manager.deciding import LockNeeded, decide
from orchestrator.state_manager.work import Holder, Take, Work
from orchestrator.state_manager.workflows import Workflows
from orchestrator.task_dispatcher import TaskDispatcher

log = structlog.get_logger(__name__)

#: Stimuli brought in one go before another process may have its turn.
DRAIN = 200


@dataclass(frozen=True, slots=True)
class Saved:
    """A transition that has committed, with the slice that follows from it."""

    before: Slice
    transition: Transition
    slice: Slice
    taken: Attempt | None
    token: str


@dataclass(frozen=True, slots=True)
class StateManager:
    """The door to an instance's state. Every method may raise `DatabaseUnavailable`: then
    nothing is known, and the same call may be made again."""

    database: Database
    dispatcher: TaskDispatcher
    workflows: Workflows
    evaluate: Evaluate
    time: DatabaseTime
    limits: Limits
    seed: Callable[[], int] = lambda: secrets.randbits(63)

    # -- claims ---------------------------------------------------------------------------

    @staticmethod
    def new_token() -> str:
        """What proves a claim: to be kept over its repetitions."""
        return f"{secrets.token_hex(8)}.0"

    def claim(
        self,
        attempt_id: str,
        instance_id: str,
        task: str,
        holder: Holder,
        token: str | None = None,
    ) -> Work | None:
        """Claim an attempt for this process; None is a definite refusal: drop the message."""
        token = token or self.new_token()
        snapshot = slices.claim(
            self.database, attempt_id, instance_id, task, holder.worker, holder.process, token
        )
        return self._work(snapshot, holder, token) if snapshot else None

    def _work(self, snapshot: Snapshot, holder: Holder, token: str) -> Work:
        self.time.saw(snapshot.now)
        attempt = snapshot.slice.attempt
        assert attempt is not None  # noqa: S101  claims return their attempt
        return _work_of(
            self.workflows.get(snapshot.slice.instance.workflow_id),
            snapshot.slice,
            attempt,
            holder,
            token,
            snapshot.inbox,
        )

    # -- results --------------------------------------------------------------------------

    def finish(self, work: Work, ended: Ended, take: Take | None = None) -> Work | None:
        """Commit how an attempt ended; returns the attempt taken for local continuation.

        Repeating it after a lost reply returns the first answer. A stale result changes
        nothing and is counted.
        """
        stimulus = self._result(work, ended)
        try:
            saved = self._finish_alone(work, stimulus, take) or self._finish_locked(
                work, stimulus, take
            )
        except (Busy, EvaluatorUnavailable) as reason:
            self._leave(work, ended, reason)
            return None
        if isinstance(saved, Work) or saved is None:
            return saved
        return self._after(saved, take, work.workflow)

    def _result(self, work: Work, ended: Ended) -> Stimulus:
        return Stimulus(
            StimulusKind.RESULT, self.time.now(), self.seed(), step=work.step.id, ended=ended
        )

    def _finish_alone(self, work: Work, stimulus: Stimulus, take: Take | None) -> Saved | None:
        if work.inbox or not is_alone(work.slice):
            return None
        try:
            return self._bring(
                self.database, work.workflow, work.slice, stimulus, take, work, locked=False
            )
        except (Superseded, Fenced, LockNeeded):
            return None

    def _finish_locked(
        self, work: Work, stimulus: Stimulus, take: Take | None
    ) -> Saved | Work | None:
        try:
            with self.database.transaction(LOCKING) as cursor:
                snapshot = slices.lock(cursor, work.instance_id, work.step.id, work.attempt.id)
                attempt = snapshot.slice.attempt
                if attempt is None or attempt.state is not AttemptState.CLAIMED:
                    raise Fenced
                saved = self._bring(
                    cursor, work.workflow, snapshot.slice, stimulus, take, work, locked=True
                )
        except Fenced:
            return self._first_answer(work)
        if snapshot.inbox:
            self.dispatcher.hint(work.instance_id)
        if saved is None:
            self._stale(work)
        return saved

    def _first_answer(self, work: Work) -> Work | None:
        """The attempt has ended: by ourselves, before a reply was lost, or it was taken away."""
        if not slices.ended_with(self.database, work.attempt.id, work.token):
            self._stale(work)
            return None
        snapshot = slices.claimed_with(self.database, work.instance_id, work.next_token)
        return self._work(snapshot, work.holder, work.next_token) if snapshot else None

    def _stale(self, work: Work) -> None:
        log.warning(
            "A result came too late and was refused",
            action="stale_result",
            instance=work.instance_id,
            step=work.step.id,
            attempt=work.attempt.id,
        )

    def _leave(self, work: Work, ended: Ended, reason: Exception) -> None:
        """Put the result into the inbox: whoever comes next brings it."""
        data = {**ended_to_json(ended), "traceback": ended.traceback}
        stimuli.put(
            self.database,
            work.instance_id,
            StimulusKind.RESULT,
            step=work.step.id,
            attempt=work.attempt.id,
            data=data,
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

    # -- everything else ------------------------------------------------------------------

    def drain(self, instance_id: str, take: Take | None = None) -> Work | None:
        """Bring the waiting stimuli of an instance, oldest first; returns an attempt taken
        for local continuation, if `take` accepted one."""
        taken: Work | None = None
        for _ in range(DRAIN):
            offer = take if taken is None else None
            try:
                saved, workflow = self._bring_next(instance_id, offer)
            except (Busy, EvaluatorUnavailable):
                break
            if workflow is None:
                return taken
            if saved is not None:
                taken = self._after(saved, offer, workflow) or taken
        self.dispatcher.hint(instance_id)
        return taken

    def _bring_next(
        self, instance_id: str, take: Take | None
    ) -> tuple[Saved | None, Workflow | None]:
        """Bring one stimulus. No workflow: nothing waits. No save: it changed nothing."""
        snapshot = slices.read_inbox(self.database, instance_id)
        if snapshot is None:
            return None, None
        if is_alone(snapshot.slice):
            try:
                return self._bring_noted(self.database, snapshot, take, locked=False)
            except (Superseded, Fenced, LockNeeded):
                pass
        with self.database.transaction(LOCKING) as cursor:
            snapshot = slices.lock_inbox(cursor, instance_id)
            if snapshot is None:
                return None, None
            return self._bring_noted(cursor, snapshot, take, locked=True)

    def _bring_noted(
        self, reader: Reader, snapshot: Snapshot, take: Take | None, *, locked: bool
    ) -> tuple[Saved | None, Workflow]:
        self.time.saw(snapshot.now)
        workflow = self.workflows.get(snapshot.slice.instance.workflow_id)
        assert snapshot.stimulus is not None  # noqa: S101  read_inbox returns one
        stimulus = to_stimulus(snapshot.stimulus, snapshot.now, self.seed())
        saved = self._bring(reader, workflow, snapshot.slice, stimulus, take, None, locked=locked)
        return saved, workflow

    def lose(self, holder: Holder, error: dict[str, Any]) -> int:
        """Every live attempt of that process has ended with it; returns how many there were."""
        held = workers.of_process(self.database, holder.worker, holder.process)
        for attempt, instance, step in held:
            self.lose_attempt(attempt, instance, step, error)
        return len(held)

    def lose_attempt(self, attempt: str, instance: str, step: int, error: dict[str, Any]) -> None:
        """One attempt is lost: nobody can say how it ended."""
        ended = Ended(attempt, AttemptState.LOST, error=error, unknown=True)
        stimuli.put(
            self.database,
            instance,
            StimulusKind.RESULT,
            step=step,
            attempt=attempt,
            data=ended_to_json(ended),
            key=f"lost:{attempt}",
        )
        self.dispatcher.hint(instance)

    # -- one transition -------------------------------------------------------------------

    def _bring(
        self,
        reader: Reader,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        take: Take | None,
        work: Work | None,
        *,
        locked: bool,
    ) -> Saved | None:
        """Decide and save; None where the stimulus changes nothing."""
        transition = decide(
            reader, workflow, slice, stimulus, self.evaluate, self.limits, locked=locked
        )
        if transition.ignored is not None:
            self._forget(reader, stimulus, work)
            return None
        token = work.next_token if work else self.new_token()
        taken = _chosen(transition, take)
        save(
            reader,
            Saving(
                slice.instance,
                stimulus,
                transition,
                self.dispatcher.queue_of,
                Fence(work.attempt.id, work.token) if work else None,
                Taken(taken.id, take.holder.worker, take.holder.process, token)
                if taken and take
                else None,
            ),
        )
        return Saved(slice, transition, _follow(slice, transition), taken, token)

    def _forget(self, reader: Reader, stimulus: Stimulus, work: Work | None) -> None:
        if stimulus.id is not None:
            stimuli.forget(reader, stimulus.id)
        if work is not None and stimulus.ended is not None:
            attempts.end(reader, work.attempt.id, stimulus.ended.state.value)

    def _after(self, saved: Saved, take: Take | None, workflow: Workflow) -> Work | None:
        """What follows a commit: publish, hint, announce. None of it can fail the transition."""
        transition = saved.transition
        self.dispatcher.publish(self._to_publish(saved))
        own = saved.before.instance.id
        others = [child.id for child in transition.children]
        others += [note.instance or own for note in transition.stimuli]
        self.dispatcher.hint(*dict.fromkeys(others))
        soon = self.time.now() + timedelta(seconds=timers.LONGEST_SLEEP)
        if any(timer.due_at < soon for timer in transition.timers):
            timers.announce(self.database)
        if saved.taken is None or take is None:
            return None
        return _work_of(workflow, saved.slice, saved.taken, take.holder, saved.token, 0)

    def _to_publish(self, saved: Saved) -> list[attempts.Ready]:
        instance = saved.before.instance.id
        ready = [
            attempts.Ready(
                attempt.id,
                instance,
                attempt.step,
                attempt.task,
                attempt.queue or self.dispatcher.queue_of(attempt),
                attempt.priority,
                attempt.time_limit,
            )
            for attempt in saved.transition.attempts[:PUBLISHED_AT_ONCE]
            if saved.taken is None or attempt.id != saved.taken.id
        ]
        return ready + self._more(saved)

    def _more(self, saved: Saved) -> list[attempts.Ready]:
        """A wide fork's attempts are published in portions: each hundredth child to end
        makes room for a hundred more. Under the lock every count is seen exactly once."""
        width = PUBLISHED_AT_ONCE - 100
        for step in saved.transition.changed:
            if step.open >= width and step.open % 100 == 0 and not saved.transition.attempts:
                return attempts.top_up(self.database, saved.before.instance.id, 100)
        return []


def _chosen(transition: Transition, take: Take | None) -> Attempt | None:
    if take is None:
        return None
    return next((one for one in transition.attempts if take.accepts(one)), None)


def _follow(slice: Slice, transition: Transition) -> Slice:
    """The slice as the saved transition left it: what a continuing worker has in hand."""
    steps = dict(slice.steps)
    steps.update((step.id, step) for step in transition.changed)
    steps.update((step.id, step) for step in transition.created)
    instance = replace(transition.instance, sequence=slice.instance.sequence + 1)
    return Slice(instance, steps)


def _work_of(
    workflow: Workflow, slice: Slice, attempt: Attempt, holder: Holder, token: str, inbox: int
) -> Work:
    """The work that a claimed attempt is, its slice cut down to the step and its ancestors."""
    step = slice.steps[attempt.step]
    chain = {step.id: step}
    above = step.parent
    while above:
        chain[above] = slice.steps[above]
        above = chain[above].parent
    claimed = replace(attempt, state=AttemptState.CLAIMED)
    instance = slice.instance
    return Work(
        attempt=claimed,
        instance_id=instance.id,
        namespace=instance.namespace,
        business_id=instance.business_id,
        step=step,
        call=step.call or {},
        key=f"{instance.id}:{step.id}",
        retries=(step.state or {}).get("retries", 0),
        deadline=None,
        workflow=workflow,
        slice=Slice(instance, chain, claimed),
        inbox=inbox,
        token=token,
        holder=holder,
    )
