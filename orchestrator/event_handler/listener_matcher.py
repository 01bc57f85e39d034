"""Offers new events to the listeners that wait for them, in the order of their receipt.

The cost of an event depends on its matches, not on the number of listeners: many listeners share
few filters, and the event's correlation values lead from a filter to its listeners.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.events import listener_queries, listener_search
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.database.events.listener_search import Candidate, Probe
from orchestrator.event_handler.compiled_event_filter import EventFilter, compiled, correlation_key
from orchestrator.event_handler.listener_state import FilterMatches, ListenerState, Values
from orchestrator.event_handler.match_batch import ListenerId, filters_of
from orchestrator.event_handler.match_round import MatchRound

#: Largest number of listeners that one round reads. Remaining events wait for the next round.
CANDIDATES = 4000


class ListenerMatcher:
    """Matches the events of one round with listeners."""

    def __init__(self, match_round: MatchRound) -> None:
        self._round = match_round
        self._filters: dict[str, EventFilter] = {}
        self._values: dict[tuple[int, str], Values] = {}
        self._matches: dict[int, dict[ListenerId, tuple[ListenerState, FilterMatches]]] = {}

    def match_events(self, waiting: Sequence[UnmatchedEvent]) -> Sequence[UnmatchedEvent]:
        """Offer events to listeners. Return the events that are done; the others are for the next
        round. Raises `EvaluatorFailed`.
        """
        probes, evaluated = self._probe(waiting)
        candidates = (
            listener_search.candidates(
                self._round.transaction, probes, self._round.look_back, CANDIDATES + 1
            )
            if probes
            else []
        )
        # If the limit has cut the list of listeners, leave its last event for the next round too:
        # this event may have more listeners than the list contains.
        is_cut = len(candidates) > CANDIDATES
        done = candidates.pop().event_index if is_cut else evaluated
        for candidate in candidates:
            self._broadcast(waiting[candidate.event_index], candidate)
        self._match_addressed(waiting[:done])
        for event in waiting[: done + is_cut]:
            for _, (state, matches) in sorted(self._matches.get(event.receipt_number, {}).items()):
                self._round.batch.offer(state, event, matches)
        return waiting[:done]

    def _probe(self, waiting: Sequence[UnmatchedEvent]) -> tuple[list[Probe], int]:
        """Return the filters that events pass, and how many events were evaluated in the available
        time."""
        types = sorted({event.type for event in waiting if event.target_instance is None})
        rows = (
            listener_search.filters(self._round.transaction, self._round.namespace, types)
            if types
            else []
        )
        self._filters = {id: compiled(text) for id, text in rows}
        probes: list[Probe] = []
        for index, event in enumerate(waiting):
            if index and self._round.evaluator.is_over_budget:
                return probes, index
            if event.target_instance is None:
                probes += self._passed(index, event)
        return probes, len(waiting)

    def _passed(self, index: int, event: UnmatchedEvent) -> list[Probe]:
        probes = []
        for id, filter in self._filters.items():
            if not filter.accepts_type(event.type):
                continue
            dynamic = bool(filter.names)
            evaluate = (
                self._round.evaluator.correlation_values
                if dynamic
                else self._round.evaluator.correlation_values_if_passing
            )
            values = evaluate(id, filter, event)
            if values is not None:
                self._values[event.receipt_number, id] = values
                digest = correlation_key(filter, values)
                probes.append(
                    Probe(index, event.receipt_number, event.created_at, id, digest, dynamic)
                )
        return probes

    def _broadcast(self, event: UnmatchedEvent, candidate: Candidate) -> None:
        filter = self._filters[candidate.filter]
        if filter.names and not self._round.evaluator.passes(
            candidate.filter, filter, event, candidate.variables or {}
        ):
            return
        values = self._values[event.receipt_number, candidate.filter]
        self._add_match(
            event,
            self._round.batch.listener_of_candidate(candidate),
            candidate.filter_index,
            values,
            candidate.is_until,
        )

    def _match_addressed(self, waiting: Sequence[UnmatchedEvent]) -> None:
        """Match the events addressed to an instance with the instance's few listeners."""
        mail: dict[str, list[UnmatchedEvent]] = {}
        for event in waiting:
            if event.target_instance is not None:
                mail.setdefault(event.target_instance, []).append(event)
        for row in (
            listener_queries.of_instances(self._round.transaction, sorted(mail)) if mail else ()
        ):
            state = self._round.batch.listener_of_row(row)
            for each in filters_of(self._round.namespace, row):
                for event in mail[row.instance]:
                    values = self._round.evaluator.correlation_values_if_passing(
                        each.id, each.filter, event, row.variables
                    )
                    if values is not None:
                        self._add_match(event, state, each.filter_index, values, each.is_until)

    def _add_match(
        self,
        event: UnmatchedEvent,
        state: ListenerState,
        index: int,
        values: Values,
        until: bool,
    ) -> None:
        of_event = self._matches.setdefault(event.receipt_number, {})
        _, matches = of_event.setdefault((state.instance, state.step), (state, FilterMatches()))
        (matches.until if until else matches.main)[index] = values
