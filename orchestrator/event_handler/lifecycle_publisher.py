"""Tells of what happens to instances: history becomes lifecycle events, for as long as somebody
waits for such, in the order of each instance. The beats do it, one at a time."""

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

#: Positions that one look goes through.
MAX_TRANSACTIONS = 2000
#: When to look again, in s: while somebody waits for lifecycle events, and while nobody does.
BUSY_INTERVAL, IDLE_INTERVAL = 0.2, 1.0


@dataclass(slots=True)
class LifecyclePublisher:
    """Makes lifecycle events of history."""

    database: Database
    dispatcher: TaskDispatcher
    monotonic: Callable[[], float] = clock.monotonic
    horizon: Horizon = field(default_factory=Horizon)
    _last_skip: float = field(default=-math.inf, init=False)

    def publish(self) -> float:
        """Tell of what has happened since; returns when to look again, in s."""
        # Nobody waits, and the place is near enough: that is said by one statement.
        if (
            self.monotonic() < self._last_skip + transition_feed.IDLE_LAG
            and not transition_feed.lifecycle_subscribers(self.database)
        ):
            return IDLE_INTERVAL
        with self.database.transaction() as transaction:
            place = transition_feed.place(transaction, FEED)
            if place is None:
                return IDLE_INTERVAL
            wanted, horizon = (
                transition_feed.lifecycle_subscribers(transaction),
                self.horizon.look(transaction),
            )
            if not wanted:
                transition_feed.skip_to(transaction, FEED, horizon)
                self._last_skip = self.monotonic()
                return IDLE_INTERVAL
            end = min(horizon, place + MAX_TRANSACTIONS)
            if end <= place:
                return BUSY_INTERVAL
            heard = self._store_events(transaction, place, end, wanted)
            transition_feed.advance_to(transaction, FEED, end)
        self.dispatcher.match(*heard)
        return 0.0 if end < horizon else BUSY_INTERVAL

    def _store_events(
        self,
        transaction: Transaction,
        first: int,
        before: int,
        wanted: Mapping[str, set[str] | None],
    ) -> list[str]:
        rows = transition_feed.transitions(transaction, first, before, sorted(wanted))
        made: dict[str, list[LifecycleEvent]] = {}
        for one in lifecycle_events(transaction, rows, wanted):
            made.setdefault(one.row.namespace, []).append(one)
        for namespace, several in made.items():
            instances = [one.row.instance for one in several]
            event_queries.put(
                transaction, namespace, [one.event for one in several], instances=instances
            )
        return sorted(made)


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A lifecycle event, and the transition that it tells of."""

    row: TransitionRow
    event: dict[str, Json]


def lifecycle_events(
    session: Session,
    rows: Sequence[TransitionRow],
    wanted: Mapping[str, set[str] | None] | None = None,
) -> list[LifecycleEvent]:
    """The events of transitions, those of the types that are wanted (by namespace; None: all)."""
    kept = [(row, _facts(row, wanted)) for row in rows]
    steps = [(row.instance, fact[1] or 0, fact[0]) for row, facts in kept for fact in facts if fact]
    known = StepContext(
        transition_feed.references(
            session, [one[:2] for one in steps if one[2].startswith("task.")]
        ),
        transition_feed.outputs(
            session, [one[:2] for one in steps if one[2].endswith(".completed")]
        ),
    )
    return [
        LifecycleEvent(row, event)
        for row, facts in kept
        for event in events_of(_happened(row, facts), known)
    ]


def _facts(row: TransitionRow, wanted: Mapping[str, set[str] | None] | None) -> list[list[Json]]:
    """The facts, those that nobody wants to know of blanked: each keeps its place."""
    types = wanted.get(row.namespace) if wanted is not None else None
    return [
        fact if type_of(fact[0]) and (types is None or type_of(fact[0]) in types) else []
        for fact in row.facts
    ]


def _happened(row: TransitionRow, facts: list[list[Json]]) -> TransitionFacts:
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
