"""The live feed: received, emitted and lifecycle events, read once per process.

One thread reads, only while there is a subscriber, up to the first position that is not decided
yet. So no subscriber misses a late commit, and transitions need no NOTIFY. Each subscriber has a
bounded queue; one that is too slow is disconnected and may continue at its last item.

The position of an item is its row's position and its number within that position. It is the same
in each process.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from orchestrator import clock, json_codec
from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database
from orchestrator.database.events import transition_feed
from orchestrator.database.events.transition_feed import Horizon
from orchestrator.errors import DatabaseUnavailable
from orchestrator.event_handler.lifecycle_publisher import lifecycle_events
from orchestrator.log import get_logger

#: Seconds between two polls.
POLL_INTERVAL = 0.2
#: The most positions read at once.
MAX_TRANSACTIONS = 1000
#: After each part a replay pauses for the time that it took to read the part, multiplied by this.
REST_SHARE = 3.0
#: Seconds that the first subscriber waits for transactions that have not committed yet.
START_WAIT = 1.0
#: The most items in one subscriber's queue, and their bytes; beyond that the subscriber is
#: disconnected.
QUEUE_SIZE, QUEUE_BYTES = 2000, 16 << 20
#: A poll of more positions than this reads them in parts of about so many bytes.
FEW_POSITIONS, READ_BYTES = 16, 8 << 20

log = get_logger(__name__)

FeedPosition = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One event of the feed."""

    position: FeedPosition
    namespace: str
    event: dict[str, Json]
    #: The event as JSON text: encoded once for all subscribers.
    data: bytes


Predicate = Callable[[Item], bool]


@dataclass(eq=False)
class FeedSubscriber:
    """A reader of the feed. Its queue gets all matching items from position `since` on; None in
    the queue ends them."""

    predicate: Predicate
    since: int
    queue: queue.Queue[Item | None] = field(default_factory=lambda: queue.Queue(QUEUE_SIZE))
    slow: bool = False
    #: Bytes in the queue. Only one thread adds to the queue, and one takes from it; a race between
    #: them makes the count wrong by an item at most.
    added: int = 0
    taken: int = 0
    #: Whether positions are taken again, after a restore: an old position says nothing any more.
    went_back: bool = False

    def offer(self, item: Item) -> None:
        """Queue a matching item; mark the subscriber as slow if its queue is full."""
        if self.slow or not self.predicate(item):
            return
        self.added += len(item.data)
        try:
            self.queue.put_nowait(item)
        except queue.Full:
            self.slow = True
        if self.added - self.taken > QUEUE_BYTES:
            self.slow = True

    def end(self) -> None:
        """Disconnect the subscriber, now or once its queue is empty."""
        self.slow = True
        with suppress(queue.Full):
            self.queue.put_nowait(None)

    def next(self, seconds: float) -> Item | None:
        """Return the next item, or None if none came in time. Raises `FeedClosed` at the end."""
        try:
            item = self.queue.get(timeout=seconds)
        except queue.Empty:
            if self.slow:
                raise FeedClosed from None
            return None
        if item is None:
            raise FeedClosed
        self.taken += len(item.data)
        return item


class FeedClosed(Exception):
    """No further item will come."""


class Feed:
    """The feed's reader in one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscribers: set[FeedSubscriber] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._horizon = Horizon()
        self._position = 0
        self._closed = False
        self._replaying = threading.Lock()
        self._rest: Callable[[float], None] = time.sleep

    def subscribe(self, predicate: Predicate) -> FeedSubscriber:
        """Queue every matching item from now on, until `unsubscribe`."""
        with self._changed:
            if not self._subscribers:
                self._position = self._horizon.first_position(self._database, START_WAIT)
            subscriber = FeedSubscriber(predicate, self._position)
            self._subscribers.add(subscriber)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()
            self._changed.notify()
        return subscriber

    def unsubscribe(self, subscriber: FeedSubscriber) -> None:
        """Remove a subscriber."""
        with self._changed:
            self._subscribers.discard(subscriber)

    def has_taken(self, position: int) -> bool:
        """Whether the position was taken. A client names one that was not after the restore of a
        backup."""
        return position <= transition_feed.last_position(self._database)

    def replay(self, after: FeedPosition, until: int) -> Iterator[list[Item]]:
        """Yield the items after a position, up to position `until` (exclusive), in parts.

        One replay at a time reads, and rests after each part: an old position is a long way from
        now, and other requests need the database."""
        first = after[0]
        while first < until:
            with self._replaying:
                end = self._end(first, until)
                began = clock.monotonic()
                items = self._read(first, end)
                if end < until:
                    self._rest(REST_SHARE * (clock.monotonic() - began))
            yield [item for item in items if item.position > after]
            first = end

    def close(self) -> None:
        """Disconnect all subscribers and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.release()

    def release(self) -> None:
        """Disconnect without a lock, for a signal handler, which must take none."""
        self._closed = True
        for subscriber in tuple(self._subscribers):
            subscriber.end()

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                while not self._subscribers and not self._closed:
                    self._changed.wait()
                self._changed.wait(POLL_INTERVAL)
            try:
                while self._poll():
                    pass
            except DatabaseUnavailable:
                continue  # the subscribers wait; nothing is lost
            except Exception:
                log.exception("The feed can't be read; trying again", action="feed_failed")

    def _poll(self) -> bool:
        """Read and distribute once. Return whether there is more to read at once."""
        horizon = self._horizon.decided_position(self._database)
        self._follow_back(self._horizon.last + 1)
        end = self._end(self._position, horizon)
        items = self._read(self._position, end) if end > self._position else []
        with self._changed:
            for item in items:
                for subscriber in self._subscribers:
                    if item.position[0] >= subscriber.since:
                        subscriber.offer(item)
            more = end < horizon
            self._position = max(self._position, end)
        return more and not self._closed

    def _follow_back(self, most: int) -> None:
        """Read from `most`, the next position that will be taken, where the feed is beyond it."""
        if self._position <= most:
            return
        with self._changed:
            self._position = most
            for subscriber in self._subscribers:
                subscriber.since, subscriber.went_back = min(subscriber.since, most), True

    def _end(self, first: int, until: int) -> int:
        """Return the position before which one read ends."""
        end = min(until, first + MAX_TRANSACTIONS)
        if end - first <= FEW_POSITIONS:
            return end
        return transition_feed.end_within_bytes(self._database, first, end, READ_BYTES)

    def _read(self, first: int, before: int) -> list[Item]:
        rows = transition_feed.transitions(self._database, first, before)
        events = [
            (lifecycle.row.position, lifecycle.row.namespace, lifecycle.event)
            for lifecycle in lifecycle_events(self._database, rows)
        ]
        events += transition_feed.events(self._database, first, before)
        events.sort(key=lambda event: event[0])
        return list(_numbered(events))


def _numbered(events: list[tuple[int, str, dict[str, Json]]]) -> Iterator[Item]:
    last, number = 0, 0
    for position, namespace, event in events:
        number = number + 1 if position == last else 0
        last = position
        yield Item((position, number), namespace, event, json_codec.encode(event))
