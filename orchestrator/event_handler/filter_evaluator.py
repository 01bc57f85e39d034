"""Whether events pass filters: each evaluated once, in bounded time, whatever it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from orchestrator import clock
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.database.events.event_queries import UnmatchedEvent
from orchestrator.errors import OrchestratorError
from orchestrator.event_handler.compiled_event_filter import EventFilter
from orchestrator.event_handler.listener_state import Values
from orchestrator.expressions import NOW, Evaluate, EvaluatorUnavailable, ExpressionError
from orchestrator.log import get_logger

log = get_logger(__name__)

#: How often an event is tried whose evaluation brings the evaluator down.
TRIES = 3
#: How long one round may evaluate, in s: others wait for its lock.
ROUND_BUDGET = 2.0


class EvaluatorFailed(OrchestratorError):
    """The evaluator failed on an event; it may be the event, or not."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class FilterEvaluator:
    """Judges the events of one round."""

    def __init__(self, evaluate: Evaluate, now: datetime) -> None:
        self._evaluate = evaluate
        self._now = {NOW: now.timestamp()}
        self._known: dict[tuple[str, int], Values | None] = {}
        self._until = clock.monotonic() + ROUND_BUDGET

    @property
    def is_over_budget(self) -> bool:
        """Whether the rest had better wait for the next round."""
        return clock.monotonic() > self._until

    def values(
        self,
        id: str,
        filter: EventFilter,
        event: UnmatchedEvent,
        variables: Mapping[str, Json] | None = None,
    ) -> Values | None:
        """The event's correlation values, if it passes the filter with that id; None if not.

        Raises `EvaluatorFailed`.
        """
        if filter.names:
            return self._judged(id, filter, event, {**(variables or {}), **self._now})
        place = (id, event.number)
        if place not in self._known:
            self._known[place] = self._judged(id, filter, event, self._now)
        return self._known[place]

    def correlated(self, id: str, filter: EventFilter, event: UnmatchedEvent) -> Values | None:
        """The event's correlation values, whether it passes the filter or not."""
        return self._with_retries(
            id, event, lambda: filter.values(event.event, self._now, self._evaluate)
        )

    def passes(
        self, id: str, filter: EventFilter, event: UnmatchedEvent, variables: Mapping[str, Json]
    ) -> bool:
        """Whether the event has what the filter asks for."""
        given = {**variables, **self._now}
        passed = self._with_retries(
            id, event, lambda: {} if filter.passes(event.event, given, self._evaluate) else None
        )
        return passed is not None

    def evaluate(self, expression: Expression, value: Json) -> Json:
        """What an expression that is no filter says of a value; null where it fails."""
        try:
            return self._evaluate(expression.program, value, self._now)
        except ExpressionError:
            return None

    def _judged(
        self, id: str, filter: EventFilter, event: UnmatchedEvent, variables: Mapping[str, Json]
    ) -> Values | None:
        if not self.passes(id, filter, event, variables):
            return None
        return self.correlated(id, filter, event)

    def _with_retries(
        self, id: str, event: UnmatchedEvent, judge: Callable[[], Values | None]
    ) -> Values | None:
        try:
            return judge()
        except EvaluatorUnavailable as error:
            if event.tries < TRIES:
                raise EvaluatorFailed(event.number) from error
            log.warning(
                "A filter brings the evaluator down and takes no such event",
                action="filter_failed",
                filter=id,
                number=event.number,
            )
            return None
