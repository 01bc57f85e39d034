"""Gives new events to the listeners that wait for them, in the order of their receipt.

The cost of an event is that of what it matches: filters are few, however many listeners share
them, and each leads to its listeners by the event's own correlation values.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.connection.database import Transaction
from orchestrator.database.events import listener_queries
from orchestrator.database.events.event_queries import UnmatchedEvent
from orchestrator.database.events.listener_queries import Candidate, Probe
from orchestrator.event_handler.compiled_event_filter import EventFilter, compiled, key
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.listener_state import FilterMatches, ListenerState, Values
from orchestrator.event_handler.match_batch import ListenerId, MatchBatch, filters_of

#: Listeners that one round gives events to, at most.
CANDIDATES = 4000


class ListenerMatcher:
    """Gives the events of one round."""

    def __init__(
        self,
        transaction: Transaction,
        namespace: str,
        judge: FilterEvaluator,
        book: MatchBatch,
        look_back: float,
    ) -> None:
        self._transaction = transaction
        self._look_back = look_back
        self._namespace = namespace
        self._judge = judge
        self._book = book
        self._filters: dict[str, EventFilter] = {}
        self._values: dict[tuple[int, str], Values] = {}
        self._found: dict[int, dict[ListenerId, tuple[ListenerState, FilterMatches]]] = {}

    def match_events(self, waiting: Sequence[UnmatchedEvent]) -> Sequence[UnmatchedEvent]:
        """Give events; returns those that all have been given who waited for them. The others
        are for the next round. Raises `Stuck`.
        """
        probes, judged = self._probe(waiting)
        candidates = (
            listener_queries.candidates(self._transaction, probes, self._look_back, CANDIDATES + 1)
            if probes
            else []
        )
        # The last event of a list that is cut off may have more listeners than we have seen.
        cut = len(candidates) > CANDIDATES
        done = candidates.pop().place if cut else judged
        for candidate in candidates:
            self._broadcast(waiting[candidate.place], candidate)
        self._addressed(waiting[:done])
        for event in waiting[: done + cut]:
            for _, (standing, hits) in sorted(self._found.get(event.number, {}).items()):
                self._book.offer(standing, event, hits)
        return waiting[:done]

    def _probe(self, waiting: Sequence[UnmatchedEvent]) -> tuple[list[Probe], int]:
        """The filters that events pass, and how many events were judged in the time there is."""
        types = sorted({event.type for event in waiting if event.target is None})
        known = listener_queries.filters(self._transaction, self._namespace, types) if types else []
        self._filters = {id: compiled(text) for id, text in known}
        probes: list[Probe] = []
        for place, event in enumerate(waiting):
            if place and self._judge.is_over_budget:
                return probes, place
            if event.target is None:
                probes += self._passed(place, event)
        return probes, len(waiting)

    def _passed(self, place: int, event: UnmatchedEvent) -> list[Probe]:
        probes = []
        for id, filter in self._filters.items():
            if not filter.accepts_type(event.type):
                continue
            dynamic = bool(filter.names)
            judge = self._judge.correlated if dynamic else self._judge.values
            values = judge(id, filter, event)
            if values is not None:
                self._values[event.number, id] = values
                digest = key(filter, values)
                probes.append(Probe(place, event.number, event.created_at, id, digest, dynamic))
        return probes

    def _broadcast(self, event: UnmatchedEvent, candidate: Candidate) -> None:
        filter = self._filters[candidate.filter]
        if filter.names and not self._judge.passes(
            candidate.filter, filter, event, candidate.variables or {}
        ):
            return
        values = self._values[event.number, candidate.filter]
        self._add_match(
            event,
            self._book.listener_of_candidate(candidate),
            candidate.at,
            values,
            candidate.until,
        )

    def _addressed(self, waiting: Sequence[UnmatchedEvent]) -> None:
        """Events in the mailboxes of instances, which have few listeners each."""
        mail: dict[str, list[UnmatchedEvent]] = {}
        for event in waiting:
            if event.target is not None:
                mail.setdefault(event.target, []).append(event)
        for row in listener_queries.of_instances(self._transaction, sorted(mail)) if mail else ():
            standing = self._book.listener_of_row(row)
            for each in filters_of(self._namespace, row):
                for event in mail[row.instance]:
                    values = self._judge.values(each.id, each.filter, event, row.variables)
                    if values is not None:
                        self._add_match(event, standing, each.place, values, each.until)

    def _add_match(
        self,
        event: UnmatchedEvent,
        standing: ListenerState,
        place: int,
        values: Values,
        until: bool,
    ) -> None:
        of_event = self._found.setdefault(event.number, {})
        _, hits = of_event.setdefault(
            (standing.instance, standing.step), (standing, FilterMatches())
        )
        (hits.until if until else hits.main)[place] = values
