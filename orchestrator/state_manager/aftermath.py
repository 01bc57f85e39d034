"""What follows a commit: publish, hint, announce. None of it can fail the transition."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.database import attempts, timers
from orchestrator.database.time import DatabaseTime
from orchestrator.database.transitions import PUBLISHED_AT_ONCE
from orchestrator.state_manager.bringing import Saved
from orchestrator.state_manager.store import Store
from orchestrator.task_dispatcher import TaskDispatcher

#: A wide fork's attempts are published in portions of this many.
PORTION = 100


def follow_up(saved: Saved, store: Store, dispatcher: TaskDispatcher, time: DatabaseTime) -> None:
    """Send what the transition made ready, wake whom it wrote to, announce near timers."""
    transition, own = saved.transition, saved.before.instance.id
    dispatcher.publish(_to_publish(saved, store, dispatcher))
    written_to = [child.id for child in transition.children]
    written_to += [note.instance or own for note in transition.stimuli]
    dispatcher.hint(*dict.fromkeys(written_to))
    soon = time.now() + timedelta(seconds=timers.LONGEST_SLEEP)
    if any(timer.due_at < soon for timer in transition.timers):
        store.announce()


def _to_publish(saved: Saved, store: Store, dispatcher: TaskDispatcher) -> list[attempts.Ready]:
    instance = saved.before.instance.id
    ready = [
        attempts.Ready(
            attempt.id,
            instance,
            attempt.step,
            attempt.task,
            attempt.queue or dispatcher.queue_of(attempt),
            attempt.priority,
            attempt.time_limit,
        )
        for attempt in saved.transition.attempts[:PUBLISHED_AT_ONCE]
        if saved.taken is None or attempt.id != saved.taken.id
    ]
    if _makes_room(saved):
        ready += store.top_up(instance, PORTION)
    return ready


def _makes_room(saved: Saved) -> bool:
    """Each hundredth child of a wide fork to end makes room for a hundred more. Under the
    lock every count is seen exactly once; what a crash skips, a beat publishes."""
    return any(
        step.open >= PUBLISHED_AT_ONCE - PORTION and step.open % PORTION == 0
        for step in saved.transition.changed
    )
