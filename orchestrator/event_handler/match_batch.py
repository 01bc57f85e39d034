"""Collects the listeners and offers of one matching round, and writes them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator import json_codec
from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.events import (
    event_matching_queries,
    event_offer_queries,
    listener_index,
    listener_queries,
)
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.database.events.event_offer_queries import NewOffer
from orchestrator.database.events.listener_index import FilterRow, IndexEntry
from orchestrator.database.events.listener_queries import ListenerRow, ListenerUpdate
from orchestrator.database.events.listener_search import Candidate
from orchestrator.event_handler.compiled_event_filter import (
    MATCH_ALL,
    EventFilter,
    canonical,
    compiled,
    correlation_key,
    identity,
)
from orchestrator.event_handler.listener_state import FilterMatches, ListenerState

ListenerId = tuple[str, int]
"""A listener: its instance and its step."""


@dataclass(frozen=True, slots=True)
class ListenerFilter:
    """A filter of a listener and its index there."""

    filter_index: int
    is_until: bool
    id: str
    filter: EventFilter
    text: str


def filters_of(namespace: str, row: ListenerRow) -> list[ListenerFilter]:
    """Return the filters of a listener. (A listener for all of no events is never created.)"""
    until = row.until["filters"] or [MATCH_ALL] if row.until and "filters" in row.until else []
    return [
        *_indexed(namespace, row.filters or [MATCH_ALL], until=False),
        *_indexed(namespace, until, until=True),
    ]


def _indexed(
    namespace: str, filters: Sequence[dict[str, Json]], *, until: bool
) -> Iterator[ListenerFilter]:
    for index, definition in enumerate(filters):
        text = canonical(definition)
        yield ListenerFilter(index, until, identity(namespace, text), compiled(text), text)


class MatchBatch:
    """The listeners of a round and the offers to them."""

    def __init__(self, transaction: Transaction, namespace: str) -> None:
        self._transaction = transaction
        self._namespace = namespace
        self._states: dict[ListenerId, ListenerState] = {}
        self._looked_back: dict[ListenerId, tuple[ListenerRow, list[ListenerFilter]]] = {}
        self._offers: list[NewOffer] = []
        self._consumed: list[int] = []
        self._texts: dict[int, str] = {}
        #: The instances that got an offer.
        self.instances_to_hint: list[str] = []

    def listener_of_row(self, row: ListenerRow) -> ListenerState:
        """Return the state of a listener whose full row was read."""
        return self._state_of(
            ListenerState(
                instance=row.instance,
                step=row.step,
                mode=row.mode,
                count=len(row.filters),
                takes_one=row.mode != "all" and row.until is None,
                correlation=dict(row.correlation or {}),
                offered_filters=set(row.offered_filters),
                is_saturated=row.is_saturated,
                variables=row.variables,
            )
        )

    def listener_of_candidate(self, row: Candidate) -> ListenerState:
        """Return the state of a listener that an event's correlation matches."""
        return self._state_of(
            ListenerState(
                instance=row.instance,
                step=row.step,
                mode=row.mode,
                count=row.count,
                takes_one=row.takes_one,
                correlation=dict(row.correlation or {}),
                offered_filters=set(row.offered_filters),
            )
        )

    def _state_of(self, state: ListenerState) -> ListenerState:
        return self._states.setdefault((state.instance, state.step), state)

    def mark_looked_back(
        self, row: ListenerRow, filters: list[ListenerFilter], *, again: bool
    ) -> None:
        """Record that a listener's look-back is done, unless `again`: more events remain. From then
        on new events find the listener."""
        done = replace(row, lookbacks_done=row.lookbacks_done if again else row.lookback_requests)
        self._looked_back[row.instance, row.step] = (done, filters)

    def offer(self, state: ListenerState, event: UnmatchedEvent, matches: FilterMatches) -> bool:
        """Offer an event to a listener if it can take it. Return whether it was offered."""
        offer = state.offer(matches)
        if offer is None:
            return False
        data: dict[str, Json] = {"number": event.receipt_number, "matches": list(offer.matches)}
        if offer.until:
            data["until"] = list(offer.until)
        if offer.correlation is not None:
            data["correlation"] = dict(offer.correlation)
        stimulus_json = f'{{"event":{self._text(event)},{json_codec.dumps(data)[1:]}'
        self._offers.append(
            NewOffer(event.receipt_number, state.instance, state.step, stimulus_json)
        )
        if event.target_instance is not None:
            self._consumed.append(event.receipt_number)
        return True

    @property
    def offered(self) -> list[ListenerId]:
        """The listeners with an offer that is not written yet, in the order of the offers."""
        return [(each.instance, each.step) for each in self._offers]

    def _text(self, event: UnmatchedEvent) -> str:
        if event.receipt_number not in self._texts:
            self._texts[event.receipt_number] = json_codec.dumps(event.event)
        return self._texts[event.receipt_number]

    def write(self) -> None:
        """Write all listeners and offers, and clear the batch."""
        changed = {
            who: one for who, one in self._states.items() if one.changed or who in self._looked_back
        }
        listener_queries.save_listeners(
            self._transaction, [self._update_of(one) for one in changed.values()]
        )
        open = {who: one for who, one in changed.items() if not one.is_saturated}
        self._save_filters(who for who in open if who in self._looked_back)
        listener_index.add_entries(
            self._transaction, [*self._new_entries(open), *self._bound_entries(open)]
        )
        listener_index.remove_entries(
            self._transaction, [who for who, one in changed.items() if one.is_saturated]
        )
        self.instances_to_hint += event_offer_queries.offer(self._transaction, self._offers)
        event_matching_queries.mark_consumed(self._transaction, self._consumed)
        self._states, self._looked_back, self._offers, self._consumed = {}, {}, [], []

    def _update_of(self, one: ListenerState) -> ListenerUpdate:
        looked_back = self._looked_back.get((one.instance, one.step))
        return ListenerUpdate(
            instance=one.instance,
            step=one.step,
            correlation=one.correlation or None,
            offered_filters=tuple(sorted(one.offered_filters)),
            is_saturated=one.is_saturated,
            lookbacks_done=looked_back[0].lookbacks_done if looked_back else 0,
        )

    def _save_filters(self, who: Iterator[ListenerId]) -> None:
        rows = {
            one.id: FilterRow(one.id, one.filter.type, one.filter.lifecycle, one.text)
            for each in who
            for one in self._looked_back[each][1]
        }
        listener_index.save_filters(
            self._transaction, self._namespace, [rows[id] for id in sorted(rows)]
        )

    def _new_entries(self, open: Mapping[ListenerId, ListenerState]) -> Iterator[IndexEntry]:
        """Yield the index entries of listeners whose look-back is done."""
        for who, (_, filters) in self._looked_back.items():
            for each in filters if who in open else ():
                digest = correlation_key(each.filter, open[who].correlation)
                yield IndexEntry(*who, each.is_until, each.filter_index, each.id, digest)

    def _bound_entries(self, open: Mapping[ListenerId, ListenerState]) -> Iterator[IndexEntry]:
        """Yield the index entries of listeners whose correlation an event has bound."""
        bound = [who for who, one in open.items() if one.bound and who not in self._looked_back]
        for entry, text in listener_index.entries_of(self._transaction, bound):
            correlation = open[entry.instance, entry.step].correlation
            yield replace(entry, correlation_digest=correlation_key(compiled(text), correlation))
