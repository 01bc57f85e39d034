"""What follows a commit: publish, hint, announce. None of it can fail the transition."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator.core.values import Slice
from orchestrator.database import timers
from orchestrator.database.attempts import Ready
from orchestrator.database.time import DatabaseTime
from orchestrator.database.transitions import WAVE, first_wave
from orchestrator.state_manager.bringing import Saved
from orchestrator.state_manager.store import Store
from orchestrator.task_dispatcher import TaskDispatcher


def follow_up(saved: Saved, store: Store, dispatcher: TaskDispatcher, time: DatabaseTime) -> None:
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


def written_to(saved: Saved) -> list[str]:
    """The instances whose inboxes the transition has left notes in."""
    transition, own = saved.transition, saved.before.instance.id
    ids = [child.id for child in transition.children]
    ids += [note.instance or own for note in transition.stimuli]
    return list(dict.fromkeys(ids))


def announce(saved: Saved, now: datetime, store: Store) -> None:
    """Let the beats know of the transition's timers, where one is due soon."""
    due = min((timer.due_at for timer in saved.transition.timers), default=None)
    if due is not None and due < now + timedelta(seconds=timers.LONGEST_SLEEP):
        store.announce(due, now)


def _to_publish(saved: Saved, dispatcher: TaskDispatcher) -> list[Ready]:
    instance = saved.before.instance.id
    taken = saved.taken.id if saved.taken else None
    if taken is not None and len(saved.transition.attempts) == 1:
        return []
    calls = {step.id: step.call for step in (*saved.transition.created, *saved.transition.changed)}
    return [
        Ready(
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


def spread(slice: Slice, queue: str, store: Store, dispatcher: TaskDispatcher) -> None:
    """Publish more of a wide instance's attempts: two for each claim that came by a message
    and for each chain that ends, so that every idle worker is soon awake and none sleeps
    while something is ready. What a crash skips, a beat publishes."""
    if slice.instance.open > WAVE:
        dispatcher.publish(store.top_up(slice.instance.id, queue, 2))
