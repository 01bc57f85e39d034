"""Matches the events of a namespace with all who wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.database import Database, LockTimeout, Transaction
from orchestrator.database.events import event_queries, listener_queries
from orchestrator.event_handler.event_lookback import LookBack
from orchestrator.event_handler.filter_evaluator import EvaluatorFailed, FilterEvaluator
from orchestrator.event_handler.listener_matcher import ListenerMatcher
from orchestrator.event_handler.match_batch import MatchBatch
from orchestrator.event_handler.schedule_matcher import ScheduleMatcher
from orchestrator.event_handler.subscription_matcher import SubscriptionMatcher
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
            if not self._has_unmatched(namespace):
                return
            try:
                if not self._round(namespace):
                    return
            except LockTimeout:
                break  # a listener is held by its transition: soon
            except EvaluatorFailed as stuck:
                event_queries.count_failure(self.database, stuck.number)
                raise EvaluatorUnavailable(str(stuck)) from stuck
        self.dispatcher.match(namespace)

    def _has_unmatched(self, namespace: str) -> bool:
        return event_queries.has_unmatched(self.database, namespace) or listener_queries.waits(
            self.database, namespace
        )

    def _round(self, namespace: str) -> bool:
        """One transaction; False: somebody else is at it."""
        with self.database.transaction(listener_queries.MATCHING) as transaction:
            now = listener_queries.lock(transaction, namespace)
            if now is None:
                return False
            book = MatchBatch(transaction, namespace)
            self._matched(transaction, namespace, FilterEvaluator(self.evaluate, now), book, now)
        self.dispatcher.hint(*dict.fromkeys(book.instances_to_hint))
        return True

    def _matched(
        self,
        transaction: Transaction,
        namespace: str,
        judge: FilterEvaluator,
        book: MatchBatch,
        now: datetime,
    ) -> None:
        asked = listener_queries.pending_lookbacks(transaction, namespace, LISTENERS)
        if asked:
            LookBack(transaction, namespace, judge, book, self.look_back).offer_earlier_events(
                asked
            )
            book.write()
        waiting = event_queries.unmatched(transaction, namespace, EVENTS)
        if not waiting:
            return
        done = ListenerMatcher(transaction, namespace, judge, book, self.look_back).match_events(
            waiting
        )
        book.write()
        starting = ScheduleMatcher(transaction, namespace, judge, self.payload)
        starting.match_events(done)
        subscribing = SubscriptionMatcher(transaction, namespace, judge, now)
        subscribing.match_events(done)
        book.instances_to_hint += starting.instances_to_hint + subscribing.told
        event_queries.mark_matched(transaction, [event.number for event in done])
