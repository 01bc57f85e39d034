"""Offers earlier events to new listeners: those in the instance's mailbox, of any age, the
broadcast events numbered above the listener's mark, and those of the last few seconds, if the
instance may receive them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from orchestrator.database.events import (
    event_matching_queries,
    event_offer_queries,
)
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.database.events.listener_queries import ListenerRow
from orchestrator.event_handler.compiled_event_filter import EventFilter, correlation_key
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.listener_state import FilterMatches, ListenerState, Values
from orchestrator.event_handler.match_batch import (
    ListenerFilter,
    ListenerId,
    filters_of,
)
from orchestrator.event_handler.match_round import MatchRound

#: Largest number of broadcast events in one look-back: the newest ones.
MAX_RECENT = 20_000
#: Largest number of events of one mailbox in one look-back. The rest follows in another one.
MAILBOX = 1000
#: Largest number of events that an instance refused and that other listeners of it are offered.
MAX_REFUSED = 200


class LookBack:
    """Offers earlier events to the new listeners of one round."""

    def __init__(self, match_round: MatchRound) -> None:
        self._round = match_round

    def offer_earlier_events(self, rows: Sequence[ListenerRow]) -> None:
        """Find the events before these listeners and offer them. Raises `EvaluatorFailed`."""
        filters = {(row.instance, row.step): filters_of(self._round.namespace, row) for row in rows}
        mailboxes = self._mailboxes(rows, filters.values())
        recent = _RecentEvents(
            self._round.evaluator, self._recent_broadcasts(rows), self._round.look_back
        )
        refused = self._refused_events(rows)
        offers: dict[ListenerId, dict[int, tuple[UnmatchedEvent, FilterMatches]]] = {}
        for row in rows:
            listener, state = (row.instance, row.step), self._round.batch.listener_of_row(row)
            matches = offers[listener] = {}
            for each in filters[listener] if not state.is_saturated else ():
                earlier = [*mailboxes.get(row.instance, ()), *refused.get(row.instance, ())]
                _add_matches(matches, each, self._passing_events(each, earlier, row))
                if row.lookbacks_done == 0:
                    _add_matches(matches, each, recent.events_for(each, row, state))
        self._offer(rows, filters, offers, mailboxes)

    def _mailboxes(
        self, rows: Sequence[ListenerRow], filters: Iterable[list[ListenerFilter]]
    ) -> dict[str, list[UnmatchedEvent]]:
        all_types = [each.filter.type for several in filters for each in several]
        types = [type for type in all_types if type is not None]
        return event_matching_queries.mailboxes(
            self._round.transaction,
            sorted({row.instance for row in rows}),
            types if len(types) == len(all_types) else None,
            MAILBOX,
        )

    def _recent_broadcasts(self, rows: Sequence[ListenerRow]) -> list[UnmatchedEvent]:
        new = [row for row in rows if row.lookbacks_done == 0]
        if not new:
            return []
        return event_matching_queries.recent_broadcasts(
            self._round.transaction,
            self._round.namespace,
            min(row.above for row in new),
            min((row.mark for row in new if row.mark is not None), default=None),
            min(row.counts_events_since(self._round.look_back) for row in new),
            MAX_RECENT,
        )

    def _refused_events(self, rows: Sequence[ListenerRow]) -> dict[str, list[UnmatchedEvent]]:
        """Return the broadcast events that instances have refused since their first look-back."""
        instances = sorted({row.instance for row in rows if row.lookbacks_done > 0})
        pairs = (
            event_offer_queries.refused_events(self._round.transaction, instances, MAX_REFUSED)
            if instances
            else []
        )
        events = event_matching_queries.by_receipt_numbers(
            self._round.transaction, (number for _, number in pairs)
        )
        refused: dict[str, list[UnmatchedEvent]] = defaultdict(list)
        for instance, number in pairs:
            if number in events and events[number].target_instance is None:
                refused[instance].append(events[number])
        return refused

    def _passing_events(
        self, each: ListenerFilter, events: Iterable[UnmatchedEvent], row: ListenerRow
    ) -> Iterable[tuple[UnmatchedEvent, Values]]:
        for event in events:
            if not row.may_receive(event, self._round.look_back):
                continue
            values = self._round.evaluator.correlation_values_if_passing(
                each.id, each.filter, event, row.variables
            )
            if values is not None:
                yield event, values

    def _offer(
        self,
        rows: Sequence[ListenerRow],
        filters: dict[ListenerId, list[ListenerFilter]],
        offers: dict[ListenerId, dict[int, tuple[UnmatchedEvent, FilterMatches]]],
        mailboxes: dict[str, list[UnmatchedEvent]],
    ) -> None:
        """Offer the earlier events in their order, except those that the instance has consumed
        already."""
        pairs = {
            (number, listener[0]) for listener, matches in offers.items() for number in matches
        }
        made = event_offer_queries.offers_made(self._round.transaction, pairs)
        live = {(one.event, one.instance) for one in made if not one.refused}
        tried = {(one.event, one.instance, one.step) for one in made}
        for row in rows:
            listener, consumed = (row.instance, row.step), False
            state = self._round.batch.listener_of_row(row)
            for number, (event, matches) in sorted(offers[listener].items()):
                if (number, row.instance) not in live and (number, *listener) not in tried:
                    offered = self._round.batch.offer(state, event, matches)
                    consumed = consumed or (offered and event.target_instance is not None)
            more = (
                consumed
                and len(mailboxes.get(row.instance, ())) == MAILBOX
                and not state.is_saturated
            )
            self._round.batch.mark_looked_back(row, filters[listener], again=more)


def _add_matches(
    matches: dict[int, tuple[UnmatchedEvent, FilterMatches]],
    each: ListenerFilter,
    passing: Iterable[tuple[UnmatchedEvent, Values]],
) -> None:
    for event, values in passing:
        _, of_event = matches.setdefault(event.receipt_number, (event, FilterMatches()))
        (of_event.until if each.is_until else of_event.main)[each.filter_index] = values


class _RecentEvents:
    """The recent broadcast events, by the filters that they pass. Each event is evaluated once per
    filter and found by its correlation key, so that any number of listeners may share a filter."""

    def __init__(
        self, evaluator: FilterEvaluator, recent: Sequence[UnmatchedEvent], look_back: float
    ) -> None:
        self._evaluator = evaluator
        self._recent = recent
        self._look_back = look_back
        self._passed: dict[str, list[tuple[UnmatchedEvent, Values]]] = {}
        self._by_key: dict[str, dict[str, list[tuple[UnmatchedEvent, Values]]]] = {}

    def events_for(
        self, each: ListenerFilter, row: ListenerRow, state: ListenerState
    ) -> Iterable[tuple[UnmatchedEvent, Values]]:
        """Return the events that pass a filter of a listener and that the listener may receive."""
        if each.filter.names:
            passed = self._evaluate(each.id, each.filter, row)
        elif digest := correlation_key(each.filter, state.correlation):
            self._evaluate_once(each)
            passed = self._by_key[each.id].get(digest, [])
        else:
            passed = self._evaluate_once(each)
        return [match for match in passed if row.may_receive(match[0], self._look_back)]

    def _evaluate_once(self, each: ListenerFilter) -> list[tuple[UnmatchedEvent, Values]]:
        if each.id not in self._passed:
            passed = self._passed[each.id] = self._evaluate(each.id, each.filter, None)
            by_key: dict[str, list[tuple[UnmatchedEvent, Values]]] = defaultdict(list)
            for event, values in passed:
                by_key[correlation_key(each.filter, values)].append((event, values))
            self._by_key[each.id] = by_key
        return self._passed[each.id]

    def _evaluate(
        self, id: str, filter: EventFilter, row: ListenerRow | None
    ) -> list[tuple[UnmatchedEvent, Values]]:
        variables = row.variables if row else None
        evaluated = (
            (event, self._evaluator.correlation_values_if_passing(id, filter, event, variables))
            for event in self._recent
            if filter.accepts_type(event.type)
        )
        return [(event, values) for event, values in evaluated if values is not None]
