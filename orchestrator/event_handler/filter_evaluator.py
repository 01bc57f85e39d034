"""Evaluates filters on events: each pair once, in bounded time, even if it crashes the
evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from orchestrator import clock
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.errors import OrchestratorError
from orchestrator.event_handler.compiled_event_filter import EventFilter
from orchestrator.event_handler.listener_state import Values
from orchestrator.expressions import NOW, Evaluate, EvaluatorUnavailable, ExpressionError
from orchestrator.log import get_logger

log = get_logger(__name__)

#: Tries of an event on which the evaluator fails. After the last one it does not match.
TRIES = 3
#: Seconds that one round may evaluate: other processes wait for its lock.
ROUND_BUDGET = 2.0


class EvaluatorFailed(OrchestratorError):
    """The evaluator failed on the event with this number. The event may or may not be the cause."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class FilterEvaluator:
    """Evaluates filters on the events of one round."""

    def __init__(self, evaluate: Evaluate, now: datetime) -> None:
        self._evaluate = evaluate
        self._now = {NOW: now.timestamp()}
        self._results: dict[tuple[str, int], Values | None] = {}
        self._until = clock.monotonic() + ROUND_BUDGET

    @property
    def is_over_budget(self) -> bool:
        """Whether the round has used its time: the remaining events wait for the next round."""
        return clock.monotonic() > self._until

    def correlation_values_if_passing(
        self,
        id: str,
        filter: EventFilter,
        event: UnmatchedEvent,
        variables: Mapping[str, Json] | None = None,
    ) -> Values | None:
        """Return the event's correlation values if it passes the filter with this id; None if not.

        Raises `EvaluatorFailed`.
        """
        if filter.names:
            return self._evaluate_filter(id, filter, event, {**(variables or {}), **self._now})
        key = (id, event.receipt_number)
        if key not in self._results:
            self._results[key] = self._evaluate_filter(id, filter, event, self._now)
        return self._results[key]

    def correlation_values(
        self, id: str, filter: EventFilter, event: UnmatchedEvent
    ) -> Values | None:
        """Return the event's correlation values, even if it does not pass the filter."""
        return self._with_retries(
            id, event, lambda: filter.correlation_values(event.event, self._now, self._evaluate)
        )

    def passes(
        self, id: str, filter: EventFilter, event: UnmatchedEvent, variables: Mapping[str, Json]
    ) -> bool:
        """Whether the event passes the filter."""
        values = {**variables, **self._now}
        passed = self._with_retries(
            id, event, lambda: {} if filter.passes(event.event, values, self._evaluate) else None
        )
        return passed is not None

    def evaluate(self, expression: Expression, value: Json) -> Json:
        """Evaluate an expression that is not a filter; null if it fails."""
        try:
            return self._evaluate(expression.program, value, self._now)
        except ExpressionError:
            return None

    def _evaluate_filter(
        self, id: str, filter: EventFilter, event: UnmatchedEvent, variables: Mapping[str, Json]
    ) -> Values | None:
        if not self.passes(id, filter, event, variables):
            return None
        return self.correlation_values(id, filter, event)

    def _with_retries(
        self, id: str, event: UnmatchedEvent, evaluate: Callable[[], Values | None]
    ) -> Values | None:
        try:
            return evaluate()
        except EvaluatorUnavailable as error:
            if event.match_failures < TRIES:
                raise EvaluatorFailed(event.receipt_number) from error
            log.warning(
                "A filter crashes the evaluator on an event and does not match it",
                action="filter_failed",
                filter=id,
                number=event.receipt_number,
            )
            return None
