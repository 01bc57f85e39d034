"""Says who would get an event, by the matching that a round does. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database, Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.events import (
    event_matching_queries,
    event_queries,
    listener_queries,
)
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.database.events.subscription_queries import SubscriptionRow
from orchestrator.database.schedules.schedule_queries import ScheduleRow
from orchestrator.event_handler.filter_evaluator import EvaluatorFailed, FilterEvaluator
from orchestrator.event_handler.listener_matcher import ListenerMatcher
from orchestrator.event_handler.match_batch import ListenerId, MatchBatch
from orchestrator.event_handler.match_round import MatchRound
from orchestrator.event_handler.schedule_matcher import ScheduleMatcher
from orchestrator.event_handler.subscription_matcher import SubscriptionMatcher
from orchestrator.expressions import Evaluate, EvaluatorUnavailable

#: Later than every event: the receipt number of one that was not received.
_NEWEST = 2**62


@dataclass(frozen=True, slots=True)
class EventPreview:
    """Who would get an event.

    `duplicate`: the event was received before, so nobody gets it again. `listeners` would be
    offered it, `schedules` and `subscriptions` match it. Each schedule is with whether the event
    alone is enough to start an instance. `unsettled`: earlier events or listeners are being
    matched, which may change the answer.
    """

    duplicate: bool
    listeners: tuple[ListenerId, ...] = ()
    schedules: tuple[tuple[ScheduleRow, bool], ...] = ()
    subscriptions: tuple[SubscriptionRow, ...] = ()
    unsettled: bool = False


def preview(
    database: Database,
    evaluate: Evaluate,
    namespace: str,
    event: dict[str, Json],
    target: str | None,
    look_back: float,
) -> EventPreview:
    """Return who would get an event now: one for a namespace, or for the mailbox of the instance
    `target`. Raises `EvaluatorUnavailable`, `DatabaseUnavailable`."""
    try:
        with database.transaction(listener_queries.MATCHING) as transaction:
            if event_queries.is_known(transaction, namespace, event["source"], event["id"]):
                return EventPreview(duplicate=True)
            now = event_matching_queries.now(transaction)
            waiting = UnmatchedEvent(_NEWEST, str(event["type"]), event, None, target, 0, now)
            evaluator = FilterEvaluator(evaluate, now)
            return _matched(transaction, namespace, evaluator, waiting, look_back)
    except EvaluatorFailed as failed:
        raise EvaluatorUnavailable(str(failed)) from failed


def _matched(
    transaction: Transaction,
    namespace: str,
    evaluator: FilterEvaluator,
    event: UnmatchedEvent,
    look_back: float,
) -> EventPreview:
    batch = MatchBatch(transaction, namespace)
    ListenerMatcher(MatchRound(transaction, namespace, evaluator, batch, look_back)).match_events(
        [event]
    )
    schedules = ScheduleMatcher(transaction, namespace, evaluator, 0)
    subscriptions = SubscriptionMatcher(transaction, namespace, evaluator, event.created_at)
    return EventPreview(
        duplicate=False,
        listeners=tuple(batch.offered),
        schedules=tuple(schedules.matching(event)),
        subscriptions=tuple(row for row, _ in subscriptions.matching([event])),
        unsettled=_is_unsettled(transaction, namespace),
    )


def _is_unsettled(session: Session, namespace: str) -> bool:
    return event_matching_queries.has_unmatched(
        session, namespace
    ) or listener_queries.has_pending_lookback(session, namespace)
