"""The live feed: what is received, emitted and happens, read once a process for all who look on.

One thread reads, only while somebody looks on, up to the first position that is not decided
yet; so nobody misses what commits late, and transitions notify nobody. Each who looks on has a
bounded line: who is too slow for it is let go, and may come back where they were.

The place of an item is its row's position and its number in that: the same, whoever counts.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database
from orchestrator.database.events import transition_feed
from orchestrator.database.events.transition_feed import Horizon
from orchestrator.errors import DatabaseUnavailable
from orchestrator.event_handler.lifecycle_publisher import lifecycle_events
from orchestrator.log import get_logger

#: How often to look, in s.
POLL_INTERVAL = 0.2
#: Positions of one look.
MAX_TRANSACTIONS = 1000
#: Seconds that the first who looks on waits for transactions that are on their way.
BEGINNING = 1.0
#: Items that may stand in one line.
QUEUE_SIZE = 2000

log = get_logger(__name__)

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One event of the feed."""

    place: Place
    namespace: str
    event: dict[str, Json]


Predicate = Callable[[Item], bool]


@dataclass(eq=False)
class FeedSubscriber:
    """Somebody who looks on: everything from position `since` on comes through the line;
    None in it: that is all there will be."""

    wanted: Predicate
    since: int
    queue: queue.Queue[Item | None] = field(default_factory=lambda: queue.Queue(QUEUE_SIZE))
    slow: bool = False

    def offer(self, item: Item) -> None:
        """Give an item, unless it is not wanted, or there is no room for it."""
        if self.slow or not self.wanted(item):
            return
        try:
            self.queue.put_nowait(item)
        except queue.Full:
            self.slow = True

    def end(self) -> None:
        """Let them go, now or once their line is empty."""
        self.slow = True
        with suppress(queue.Full):
            self.queue.put_nowait(None)

    def next(self, seconds: float) -> Item | None:
        """The next item; None: none came in time. Raises `FeedClosed` behind the last one."""
        try:
            item = self.queue.get(timeout=seconds)
        except queue.Empty:
            if self.slow:
                raise FeedClosed from None
            return None
        if item is None:
            raise FeedClosed
        return item


class FeedClosed(Exception):
    """Nothing more will come."""


class Feed:
    """The one reader of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._onlookers: set[FeedSubscriber] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._horizon = Horizon()
        self._position = 0
        self._closed = False

    def subscribe(self, wanted: Predicate) -> FeedSubscriber:
        """Have every item from now on that is wanted, until `leave`."""
        with self._changed:
            if not self._onlookers:
                self._position = self._horizon.begin(self._database, BEGINNING)
            onlooker = FeedSubscriber(wanted, self._position)
            self._onlookers.add(onlooker)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()
            self._changed.notify()
        return onlooker

    def unsubscribe(self, onlooker: FeedSubscriber) -> None:
        """Look on no more."""
        with self._changed:
            self._onlookers.discard(onlooker)

    def before(self, place: Place, until: int) -> Iterator[Item]:
        """What came after a place, up to position `until` (exclusive)."""
        first = place[0]
        while first < until:
            end = min(until, first + MAX_TRANSACTIONS)
            for item in self._read(first, end):
                if item.place > place:
                    yield item
            first = end

    def close(self) -> None:
        """Let everybody go."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.release()

    def release(self) -> None:
        """The same, callable from a signal's handler, which must take no lock."""
        self._closed = True
        for onlooker in tuple(self._onlookers):
            onlooker.end()

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                while not self._onlookers and not self._closed:
                    self._changed.wait()
                self._changed.wait(POLL_INTERVAL)
            try:
                while self._poll():
                    pass
            except DatabaseUnavailable:
                continue  # those who look on wait; nothing is lost
            except Exception:
                log.exception("The feed can't be read; trying again", action="feed_failed")

    def _poll(self) -> bool:
        """Whether there is more to be read at once."""
        end = min(self._horizon.look(self._database), self._position + MAX_TRANSACTIONS)
        items = self._read(self._position, end) if end > self._position else []
        with self._changed:
            for item in items:
                for onlooker in self._onlookers:
                    if item.place[0] >= onlooker.since:
                        onlooker.offer(item)
            more = end == self._position + MAX_TRANSACTIONS
            self._position = max(self._position, end)
        return more and not self._closed

    def _read(self, first: int, before: int) -> list[Item]:
        rows = transition_feed.transitions(self._database, first, before)
        found = [
            (one.row.tx, one.row.namespace, one.event)
            for one in lifecycle_events(self._database, rows)
        ]
        found += transition_feed.events(self._database, first, before)
        found.sort(key=lambda one: one[0])
        return list(_placed(found))


def _placed(found: list[tuple[int, str, dict[str, Json]]]) -> Iterator[Item]:
    last, number = 0, 0
    for position, namespace, event in found:
        number = number + 1 if position == last else 0
        last = position
        yield Item((position, number), namespace, event)
