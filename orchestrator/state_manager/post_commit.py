"""What follows a commit: publish, hint, announce. None of it can fail the transition."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator.core.model import Slice
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.schedules import timer_queries
from orchestrator.database.transitions.transition_writer import WAVE, first_wave
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.state_manager.store_protocol import Store
from orchestrator.state_manager.transition_runner import CommittedTransition
from orchestrator.task_dispatcher import TaskDispatcher


def run_post_commit(
    saved: CommittedTransition, store: Store, dispatcher: TaskDispatcher, time: DatabaseClock
) -> None:
    """Send what the transition made ready, wake whom it wrote to, announce near timers."""
    transition = saved.transition
    if transition.attempts:
        dispatcher.publish(_to_publish(saved, dispatcher))
    if transition.children or transition.stimuli:
        dispatcher.hint(*written_to(saved))
    if transition.listeners or transition.emitted:
        dispatcher.match(saved.before.instance.namespace)
    if transition.timers:
        announce(saved, time.now(), store)


def written_to(saved: CommittedTransition) -> list[str]:
    """The instances whose inboxes the transition has left notes in."""
    transition, own = saved.transition, saved.before.instance.id
    ids = [child.id for child in transition.children]
    ids += [note.instance or own for note in transition.stimuli]
    return list(dict.fromkeys(ids))


def announce(saved: CommittedTransition, now: datetime, store: Store) -> None:
    """Let the beats know of the transition's timers, where one is due soon."""
    due = min((timer.due_at for timer in saved.transition.timers), default=None)
    if due is not None and due < now + timedelta(seconds=timer_queries.LONGEST_SLEEP):
        store.announce_timer(due, now)


def _to_publish(saved: CommittedTransition, dispatcher: TaskDispatcher) -> list[PublishableAttempt]:
    instance = saved.before.instance.id
    taken = saved.claimed.id if saved.claimed else None
    if taken is not None and len(saved.transition.attempts) == 1:
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
        for attempt in first_wave(saved.transition, taken, dispatcher.queue_of)
    ]


def publish_more(slice: Slice, queue: str, store: Store, dispatcher: TaskDispatcher) -> None:
    """Publish more of a wide instance's attempts: two for each claim that came by a message
    and for each chain that ends, so that every idle worker is soon awake and none sleeps
    while something is ready. What a crash skips, a beat publishes."""
    if slice.instance.open > WAVE:
        dispatcher.publish(store.publishable(slice.instance.id, queue, 2))
