"""Tells of what happens to instances: history becomes lifecycle events, for as long as somebody
waits for such, in the order of each instance. The beats do it, one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator import clock
from orchestrator.core.values import Json
from orchestrator.database import events, feed
from orchestrator.database.connection import Database
from orchestrator.database.feed import Horizon, TransitionRow
from orchestrator.database.slices import Reader
from orchestrator.event_handler.lifecycle import Happened, Known, told, type_of
from orchestrator.task_dispatcher import TaskDispatcher

FEED = feed.TRANSITIONS

#: Positions that one look goes through.
STRETCH = 2000
#: When to look again, in s: while somebody waits for lifecycle events, and while nobody does.
SOON, SELDOM = 0.2, 1.0


@dataclass(slots=True)
class Teller:
    """Makes lifecycle events of history."""

    database: Database
    dispatcher: TaskDispatcher
    monotonic: Callable[[], float] = clock.monotonic
    horizon: Horizon = field(default_factory=Horizon)
    _followed: float = field(default=-math.inf, init=False)

    def tell(self) -> float:
        """Tell of what has happened since; returns when to look again, in s."""
        # Nobody waits, and the place is near enough: that is said by one statement.
        if self.monotonic() < self._followed + feed.LAG and not feed.interest(self.database):
            return SELDOM
        with self.database.transaction() as cursor:
            place = feed.place(cursor, FEED)
            if place is None:
                return SELDOM
            wanted, horizon = feed.interest(cursor), self.horizon.look(cursor)
            if not wanted:
                feed.follow(cursor, FEED, horizon)
                self._followed = self.monotonic()
                return SELDOM
            end = min(horizon, place + STRETCH)
            if end <= place:
                return SOON
            heard = self._told(cursor, place, end, wanted)
            feed.move(cursor, FEED, end)
        self.dispatcher.match(*heard)
        return 0.0 if end < horizon else SOON

    def _told(
        self, cursor: Reader, first: int, before: int, wanted: Mapping[str, set[str] | None]
    ) -> list[str]:
        rows = feed.transitions(cursor, first, before, sorted(wanted))
        made: dict[str, list[Told]] = {}
        for one in lifecycle_events(cursor, rows, wanted):
            made.setdefault(one.row.namespace, []).append(one)
        for namespace, several in made.items():
            instances = [one.row.instance for one in several]
            events.put(cursor, namespace, [one.event for one in several], instances=instances)
        return sorted(made)


@dataclass(frozen=True, slots=True)
class Told:
    """A lifecycle event, and the transition that it tells of."""

    row: TransitionRow
    event: dict[str, Json]


def lifecycle_events(
    reader: Reader,
    rows: Sequence[TransitionRow],
    wanted: Mapping[str, set[str] | None] | None = None,
) -> list[Told]:
    """The events of transitions, those of the types that are wanted (by namespace; None: all)."""
    kept = [(row, _facts(row, wanted)) for row in rows]
    steps = [(row.instance, fact[1] or 0, fact[0]) for row, facts in kept for fact in facts if fact]
    known = Known(
        feed.references(reader, [one[:2] for one in steps if one[2].startswith("task.")]),
        feed.outputs(reader, [one[:2] for one in steps if one[2].endswith(".completed")]),
    )
    return [Told(row, event) for row, facts in kept for event in told(_happened(row, facts), known)]


def _facts(row: TransitionRow, wanted: Mapping[str, set[str] | None] | None) -> list[list[Json]]:
    """The facts, those that nobody wants to know of blanked: each keeps its place."""
    types = wanted.get(row.namespace) if wanted is not None else None
    return [
        fact if type_of(fact[0]) and (types is None or type_of(fact[0]) in types) else []
        for fact in row.facts
    ]


def _happened(row: TransitionRow, facts: list[list[Json]]) -> Happened:
    blank: list[Json] = ["", None]
    return Happened(
        namespace=row.namespace,
        workflow=row.workflow,
        version=row.version,
        instance=row.instance,
        sequence=row.sequence,
        at=row.at,
        facts=[fact or blank for fact in facts],
    )
