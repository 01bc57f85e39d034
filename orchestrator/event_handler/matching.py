"""Matches the events of a namespace with all who wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.database import events, listeners
from orchestrator.database.connection import Busy, Database
from orchestrator.database.slices import Reader
from orchestrator.event_handler.book import Book
from orchestrator.event_handler.giving import Giving
from orchestrator.event_handler.judging import Judge, Stuck
from orchestrator.event_handler.looking import LookBack
from orchestrator.event_handler.starting import Starting
from orchestrator.event_handler.subscribing import Subscribing
from orchestrator.expressions import Evaluate, EvaluatorUnavailable
from orchestrator.task_dispatcher import TaskDispatcher

#: Instances whose new listeners, and events, that one round takes at most.
LISTENERS = 300
EVENTS = 200
#: Rounds in a row: then other hints have their turn.
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class EventHandler:
    """The door to matching; see the package for how it works."""

    database: Database
    evaluate: Evaluate
    dispatcher: TaskDispatcher
    #: The largest input that gathered events may make, in bytes.
    payload: int = 1 << 20
    #: How long before a listener opens the broadcast events are that it hears, too, in s.
    look_back: float = 5.0

    def match(self, namespace: str) -> None:
        """Match what waits in a namespace, unless another process is at it, which then sees
        what was committed before we looked.

        Raises `DatabaseUnavailable`, `EvaluatorUnavailable`: to be called again.
        """
        for _ in range(ROUNDS):
            # Most hints come after somebody has seen to it: they cost no lock. And who found
            # the lock taken went away, so whoever had it looks once more after it gave it
            # back: what they left had been committed before.
            if not self._waits(namespace):
                return
            try:
                if not self._round(namespace):
                    return
            except Busy:
                break  # a listener is held by its transition: soon
            except Stuck as stuck:
                events.failed(self.database, stuck.number)
                raise EvaluatorUnavailable(str(stuck)) from stuck
        self.dispatcher.match(namespace)

    def _waits(self, namespace: str) -> bool:
        return events.waits(self.database, namespace) or listeners.waits(self.database, namespace)

    def _round(self, namespace: str) -> bool:
        """One transaction; False: somebody else is at it."""
        with self.database.transaction(listeners.MATCHING) as cursor:
            now = listeners.lock(cursor, namespace)
            if now is None:
                return False
            book = Book(cursor, namespace)
            self._matched(cursor, namespace, Judge(self.evaluate, now), book, now)
        self.dispatcher.hint(*dict.fromkeys(book.told))
        return True

    def _matched(
        self, cursor: Reader, namespace: str, judge: Judge, book: Book, now: datetime
    ) -> None:
        asked = listeners.asked(cursor, namespace, LISTENERS)
        if asked:
            LookBack(cursor, namespace, judge, book, self.look_back).look(asked)
            book.write()
        waiting = events.unmatched(cursor, namespace, EVENTS)
        if not waiting:
            return
        done = Giving(cursor, namespace, judge, book, self.look_back).give(waiting)
        book.write()
        starting = Starting(cursor, namespace, judge, self.payload)
        starting.give(done)
        subscribing = Subscribing(cursor, namespace, judge, now)
        subscribing.give(done)
        book.told += starting.told + subscribing.told
        events.matched(cursor, [event.number for event in done])
