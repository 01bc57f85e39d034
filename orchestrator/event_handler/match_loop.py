"""Matches the events of a namespace with listeners, schedules and subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.database import Database, LockTimeout
from orchestrator.database.events import event_matching_queries, listener_queries
from orchestrator.event_handler.event_lookback import LookBack
from orchestrator.event_handler.filter_evaluator import EvaluatorFailed, FilterEvaluator
from orchestrator.event_handler.listener_matcher import ListenerMatcher
from orchestrator.event_handler.match_batch import MatchBatch
from orchestrator.event_handler.match_round import MatchRound
from orchestrator.event_handler.schedule_matcher import ScheduleMatcher
from orchestrator.event_handler.subscription_matcher import SubscriptionMatcher
from orchestrator.expressions import Evaluate, EvaluatorUnavailable
from orchestrator.task_dispatcher import TaskDispatcher

#: Largest number of new listeners, and of events, in one round.
LISTENERS = 300
EVENTS = 200
#: Largest number of rounds in a row. Then a new hint is sent, so that other hints are handled.
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class EventHandler:
    """Matches events; the package's docstring explains how."""

    database: Database
    evaluate: Evaluate
    dispatcher: TaskDispatcher
    #: The largest input of collected events, in bytes.
    max_payload: int = 1 << 20
    #: Age in seconds, at the opening of a listener, up to which earlier broadcast events are
    #: offered to it.
    look_back: float = 5.0

    def match(self, namespace: str) -> None:
        """Match the waiting events and listeners of a namespace. If another process matches them
        already, return: that process sees everything committed before.

        Raises `DatabaseUnavailable`, `EvaluatorUnavailable`: the caller calls again.
        """
        for _ in range(ROUNDS):
            # Return without taking the lock if all events are matched already, as for most hints.
            # Check again after each round: a process that finds the lock taken leaves its events to
            # the process with the lock.
            if not self._has_unmatched(namespace):
                return
            try:
                if not self._round(namespace):
                    return
            except LockTimeout:
                break  # a transition has locked a listener: send a hint
            except EvaluatorFailed as failed:
                event_matching_queries.count_failure(self.database, failed.number)
                raise EvaluatorUnavailable(str(failed)) from failed
        self.dispatcher.match(namespace)

    def _has_unmatched(self, namespace: str) -> bool:
        return event_matching_queries.has_unmatched(
            self.database, namespace
        ) or listener_queries.has_pending_lookback(self.database, namespace)

    def _round(self, namespace: str) -> bool:
        """Run one round in one transaction. False: another process has the namespace's lock."""
        with self.database.transaction(listener_queries.MATCHING) as transaction:
            now = listener_queries.lock(transaction, namespace)
            if now is None:
                return False
            batch = MatchBatch(transaction, namespace)
            evaluator = FilterEvaluator(self.evaluate, now)
            self._match_round(
                MatchRound(transaction, namespace, evaluator, batch, self.look_back), now
            )
        self.dispatcher.hint(*dict.fromkeys(batch.instances_to_hint))
        return True

    def _match_round(self, match_round: MatchRound, now: datetime) -> None:
        transaction, namespace = match_round.transaction, match_round.namespace
        listeners = listener_queries.pending_lookbacks(transaction, namespace, LISTENERS)
        if listeners:
            LookBack(match_round).offer_earlier_events(listeners)
            match_round.batch.write()
        waiting = event_matching_queries.unmatched(transaction, namespace, EVENTS)
        if not waiting:
            return
        done = ListenerMatcher(match_round).match_events(waiting)
        match_round.batch.write()
        evaluator = match_round.evaluator
        schedules = ScheduleMatcher(transaction, namespace, evaluator, self.max_payload)
        schedules.match_events(done)
        subscriptions = SubscriptionMatcher(transaction, namespace, evaluator, now)
        subscriptions.match_events(done)
        match_round.batch.instances_to_hint += schedules.instances_to_hint
        match_round.batch.instances_to_hint += subscriptions.instances_to_hint
        event_matching_queries.mark_matched(transaction, [event.receipt_number for event in done])
