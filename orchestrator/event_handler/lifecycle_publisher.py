"""Publishes lifecycle events from the history while listeners or subscribers wait for them, in the
order of each instance. Only one beat publishes at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator import clock
from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database, Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.events import event_queries, transition_feed
from orchestrator.database.events.transition_feed import Horizon, TransitionRow
from orchestrator.event_handler.lifecycle_events import (
    StepContext,
    TransitionFacts,
    events_of,
    type_of,
)
from orchestrator.task_dispatcher import TaskDispatcher

FEED = transition_feed.TRANSITIONS

#: Largest number of transactions read in one pass.
MAX_TRANSACTIONS = 2000
#: Seconds until the next pass: while lifecycle events have subscribers, and while they have none.
BUSY_INTERVAL, IDLE_INTERVAL = 0.2, 1.0


@dataclass(slots=True)
class LifecyclePublisher:
    """Publishes lifecycle events from the history."""

    database: Database
    dispatcher: TaskDispatcher
    monotonic: Callable[[], float] = clock.monotonic
    horizon: Horizon = field(default_factory=Horizon)
    _last_skip: float = field(default=-math.inf, init=False)

    def publish(self) -> float:
        """Publish the events since the last pass. Return the seconds until the next one."""
        # Without subscribers the feed's position need move only every `IDLE_LAG` seconds. Between
        # two moves, ask only whether there are subscribers now: one statement instead of a
        # transaction.
        if (
            self.monotonic() < self._last_skip + transition_feed.IDLE_LAG
            and not transition_feed.lifecycle_subscribers(self.database)
        ):
            return IDLE_INTERVAL
        with self.database.transaction() as transaction:
            position = transition_feed.lock_position(transaction, FEED)
            if position is None:
                return IDLE_INTERVAL
            types, horizon = (
                transition_feed.lifecycle_subscribers(transaction),
                self.horizon.decided_position(transaction),
            )
            if not types:
                transition_feed.skip_to(transaction, FEED, horizon, self.horizon.last + 1)
                self._last_skip = self.monotonic()
                return IDLE_INTERVAL
            if position > self.horizon.last + 1:  # the sequence went back
                position = self.horizon.last + 1
                transition_feed.advance_to(transaction, FEED, position)
            end = min(horizon, position + MAX_TRANSACTIONS)
            if end <= position:
                return BUSY_INTERVAL
            namespaces = self._store_events(transaction, position, end, types)
            transition_feed.advance_to(transaction, FEED, end)
        self.dispatcher.match(*namespaces)
        return 0.0 if end < horizon else BUSY_INTERVAL

    def _store_events(
        self,
        transaction: Transaction,
        first: int,
        before: int,
        types: Mapping[str, set[str] | None],
    ) -> list[str]:
        rows = transition_feed.transitions(transaction, first, before, sorted(types))
        made: dict[str, list[LifecycleEvent]] = {}
        for one in lifecycle_events(transaction, rows, types):
            made.setdefault(one.row.namespace, []).append(one)
        for namespace, several in made.items():
            instances = [one.row.instance for one in several]
            event_queries.put(
                transaction, namespace, [one.event for one in several], instances=instances
            )
        return sorted(made)


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A lifecycle event and its transition."""

    row: TransitionRow
    event: dict[str, Json]


def lifecycle_events(
    session: Session,
    rows: Sequence[TransitionRow],
    types: Mapping[str, set[str] | None] | None = None,
) -> list[LifecycleEvent]:
    """Return the events of transitions, of the requested types only (by namespace; None: all)."""
    selected = [(row, _facts(row, types)) for row in rows]
    steps = [
        (row.instance, fact[1] or 0, fact[0]) for row, facts in selected for fact in facts if fact
    ]
    context = StepContext(
        transition_feed.references(
            session, [one[:2] for one in steps if one[2].startswith("task.")]
        ),
        transition_feed.outputs(
            session, [one[:2] for one in steps if one[2].endswith(".completed")]
        ),
    )
    return [
        LifecycleEvent(row, event)
        for row, facts in selected
        for event in events_of(_transition_facts(row, facts), context)
    ]


def _facts(row: TransitionRow, types: Mapping[str, set[str] | None] | None) -> list[list[Json]]:
    """Return the facts, with an empty list in place of each unrequested one, so that the indexes
    stay."""
    requested = types.get(row.namespace) if types is not None else None
    return [
        fact if type_of(fact[0]) and (requested is None or type_of(fact[0]) in requested) else []
        for fact in row.facts
    ]


def _transition_facts(row: TransitionRow, facts: list[list[Json]]) -> TransitionFacts:
    blank: list[Json] = ["", None]
    return TransitionFacts(
        namespace=row.namespace,
        workflow=row.workflow,
        version=row.version,
        instance=row.instance,
        sequence=row.sequence,
        at=row.at,
        facts=[fact or blank for fact in facts],
    )
