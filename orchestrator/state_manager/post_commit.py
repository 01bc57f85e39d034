"""What follows a commit: publish attempts, hint instances, announce timers, continue locally.

None of it can fail the transition: a beat repeats what is skipped here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator.clock import monotonic
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.schedules import timer_queries
from orchestrator.database.transitions.transition_writer import first_wave
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.document.model import Workflow
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.state_manager import transition_metrics
from orchestrator.state_manager.claimed_attempt import (
    ClaimedAttempt,
    ContinuationOffer,
    claimed_attempt,
)
from orchestrator.state_manager.claims import queue_of
from orchestrator.state_manager.dependencies import Dependencies
from orchestrator.state_manager.store_protocol import Store
from orchestrator.state_manager.transition_runner import CommittedTransition
from orchestrator.task_dispatcher import TaskDispatcher

log = get_logger(__name__)


def after_commit(
    parts: Dependencies,
    saved: CommittedTransition,
    workflow: Workflow,
    offer: ContinuationOffer | None,
    source: str,
    started_at: float,
    *,
    hints_own: bool = True,
) -> ClaimedAttempt | None:
    """Count a committed transition and run what follows it. Return the new attempt that it
    claimed for this process, if there is one. `hints_own` False: this process itself continues
    with the stimuli that the transition has left for its instance."""
    transition_metrics.count_transition(
        parts.meter, saved, workflow, source, monotonic() - started_at
    )
    try:
        run_post_commit(saved, parts.store, parts.dispatcher, parts.time, hints_own=hints_own)
    except DatabaseUnavailable:
        log.info("The work after a commit was left to the beats", action="post_commit_skipped")
    if saved.claimed is None or offer is None:
        return None
    now = parts.time.now()
    claimed = claimed_attempt(
        workflow, saved.slice, saved.claimed, offer.owner, saved.token, 0, now
    )
    queue = queue_of(parts, claimed)
    transition_metrics.count_claim(parts.meter, claimed.attempt, queue, now, "continued")
    return claimed


def run_post_commit(
    saved: CommittedTransition,
    store: Store,
    dispatcher: TaskDispatcher,
    time: DatabaseClock,
    *,
    hints_own: bool = True,
) -> None:
    """Publish the transition's attempts, hint the instances that it wrote to (`hints_own`: its own
    among them), announce timers that are due soon."""
    transition = saved.transition
    if transition.attempts:
        dispatcher.publish(_to_publish(saved, dispatcher))
    if transition.children or transition.stimuli:
        own = saved.before.instance.id
        dispatcher.hint(*(id for id in written_to(saved) if hints_own or id != own))
    if transition.listeners or transition.emitted:
        dispatcher.match(saved.before.instance.namespace)
    if transition.timers:
        announce(saved, time.now(), store)


def written_to(saved: CommittedTransition) -> list[str]:
    """Return the instances that got stimuli from the transition."""
    transition, own = saved.transition, saved.before.instance.id
    ids = [child.id for child in transition.children]
    ids += [stimulus.instance or own for stimulus in transition.stimuli]
    return list(dict.fromkeys(ids))


def announce(saved: CommittedTransition, now: datetime, store: Store) -> None:
    """Notify the beats of the transition's first timer if it is due within their longest
    sleep."""
    due = min((timer.due_at for timer in saved.transition.timers), default=None)
    if due is not None and due < now + timedelta(seconds=timer_queries.LONGEST_SLEEP):
        store.announce_timer(due, now)


def _to_publish(saved: CommittedTransition, dispatcher: TaskDispatcher) -> list[PublishableAttempt]:
    instance = saved.before.instance.id
    claimed = saved.claimed.id if saved.claimed else None
    if claimed is not None and len(saved.transition.attempts) == 1:
        return []
    calls = {step.id: step.call for step in (*saved.transition.created, *saved.transition.changed)}
    return [
        PublishableAttempt(
            attempt.id,
            instance,
            attempt.step,
            attempt.task,
            attempt.queue or dispatcher.queue_of(attempt),
            attempt.priority,
            attempt.time_limit,
            calls.get(attempt.step),
        )
        for attempt in first_wave(saved.transition, claimed, dispatcher.queue_of)
    ]
