"""What came before a listener: its instance's mailbox, however old, the broadcast events that
are numbered above its mark, and those of a few seconds before, as far as its instance may hear
them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from orchestrator.database.connection.database import Transaction
from orchestrator.database.events import event_queries, listener_queries
from orchestrator.database.events.event_queries import UnmatchedEvent
from orchestrator.database.events.listener_queries import ListenerRow
from orchestrator.event_handler.compiled_event_filter import EventFilter, key
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.listener_state import FilterMatches, ListenerState, Values
from orchestrator.event_handler.match_batch import (
    ListenerFilter,
    ListenerId,
    MatchBatch,
    filters_of,
)

#: Broadcast events that are looked back at, at most: the newest.
MAX_RECENT = 20_000
#: Events of one mailbox that are looked at in one go.
MAILBOX = 1000
#: Events that an instance turned down and that it may be offered anew.
MAX_REFUSED = 200


class LookBack:
    """Gives listeners the events that came before them, all of one round together."""

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

    def offer_earlier_events(self, rows: Sequence[ListenerRow]) -> None:
        """Look for what came before these listeners, and offer it; raises `Stuck`."""
        filters = {(row.instance, row.step): filters_of(self._namespace, row) for row in rows}
        boxes = self._mailboxes(rows, filters.values())
        early = _RecentEvents(self._judge, self._recent_broadcasts(rows), self._look_back)
        returned = self._refused_events(rows)
        found: dict[ListenerId, dict[int, tuple[UnmatchedEvent, FilterMatches]]] = {}
        for row in rows:
            who, standing = (row.instance, row.step), self._book.listener_of_row(row)
            hits = found[who] = {}
            for each in filters[who] if not standing.is_saturated else ():
                given = [*boxes.get(row.instance, ()), *returned.get(row.instance, ())]
                _note(hits, each, self._judged(each, given, row))
                if row.looks == 0:
                    _note(hits, each, early.found(each, row, standing))
        self._offer(rows, filters, found, boxes)

    def _mailboxes(
        self, rows: Sequence[ListenerRow], filters: Iterable[list[ListenerFilter]]
    ) -> dict[str, list[UnmatchedEvent]]:
        asked = [one.filter.type for several in filters for one in several]
        types = [type for type in asked if type is not None]
        return event_queries.mailboxes(
            self._transaction,
            sorted({row.instance for row in rows}),
            types if len(types) == len(asked) else None,
            MAILBOX,
        )

    def _recent_broadcasts(self, rows: Sequence[ListenerRow]) -> list[UnmatchedEvent]:
        new = [row for row in rows if row.looks == 0]
        if not new:
            return []
        return event_queries.recent_broadcasts(
            self._transaction,
            self._namespace,
            min(row.above for row in new),
            min((row.mark for row in new if row.mark is not None), default=None),
            min(row.since(self._look_back) for row in new),
            MAX_RECENT,
        )

    def _refused_events(self, rows: Sequence[ListenerRow]) -> dict[str, list[UnmatchedEvent]]:
        """The broadcast events that instances have turned down since."""
        again = sorted({row.instance for row in rows if row.looks > 0})
        pairs = listener_queries.refused(self._transaction, again, MAX_REFUSED) if again else []
        known = event_queries.by_receipt_numbers(self._transaction, (number for _, number in pairs))
        found: dict[str, list[UnmatchedEvent]] = defaultdict(list)
        for instance, number in pairs:
            if number in known and known[number].target is None:
                found[instance].append(known[number])
        return found

    def _judged(
        self, each: ListenerFilter, given: Iterable[UnmatchedEvent], row: ListenerRow
    ) -> Iterable[tuple[UnmatchedEvent, Values]]:
        for event in given:
            if not row.hears(event, self._look_back):
                continue
            values = self._judge.values(each.id, each.filter, event, row.variables)
            if values is not None:
                yield event, values

    def _offer(
        self,
        rows: Sequence[ListenerRow],
        filters: dict[ListenerId, list[ListenerFilter]],
        found: dict[ListenerId, dict[int, tuple[UnmatchedEvent, FilterMatches]]],
        boxes: dict[str, list[UnmatchedEvent]],
    ) -> None:
        """In the order of events; what the instance has taken already is not for it."""
        pairs = {(number, who[0]) for who, hits in found.items() for number in hits}
        made = listener_queries.offers_made(self._transaction, pairs)
        live = {(one.event, one.instance) for one in made if not one.refused}
        tried = {(one.event, one.instance, one.step) for one in made}
        for row in rows:
            who, standing, taken = (row.instance, row.step), self._book.listener_of_row(row), False
            for number, (event, hits) in sorted(found[who].items()):
                if (number, row.instance) not in live and (number, *who) not in tried:
                    offered = self._book.offer(standing, event, hits)
                    taken = taken or (offered and event.target is not None)
            more = (
                taken and len(boxes.get(row.instance, ())) == MAILBOX and not standing.is_saturated
            )
            self._book.mark_looked_back(row, filters[who], again=more)


def _note(
    hits: dict[int, tuple[UnmatchedEvent, FilterMatches]],
    each: ListenerFilter,
    found: Iterable[tuple[UnmatchedEvent, Values]],
) -> None:
    for event, values in found:
        _, known = hits.setdefault(event.number, (event, FilterMatches()))
        (known.until if each.until else known.main)[each.place] = values


class _RecentEvents:
    """The broadcast events of a few seconds, by the filters that they pass: each is judged
    once a filter, and found by its key, however many listeners share the filter."""

    def __init__(
        self, judge: FilterEvaluator, lately: Sequence[UnmatchedEvent], look_back: float
    ) -> None:
        self._judge = judge
        self._recent_broadcasts = lately
        self._look_back = look_back
        self._passed: dict[str, list[tuple[UnmatchedEvent, Values]]] = {}
        self._by_key: dict[str, dict[str, list[tuple[UnmatchedEvent, Values]]]] = {}

    def found(
        self, each: ListenerFilter, row: ListenerRow, standing: ListenerState
    ) -> Iterable[tuple[UnmatchedEvent, Values]]:
        """The events that passed a filter of a listener, of those that it hears."""
        if each.filter.names:
            passed = self._ask(each.id, each.filter, row)
        elif digest := key(each.filter, standing.correlation):
            self._evaluate_once(each)
            passed = self._by_key[each.id].get(digest, [])
        else:
            passed = self._evaluate_once(each)
        return [one for one in passed if row.hears(one[0], self._look_back)]

    def _evaluate_once(self, each: ListenerFilter) -> list[tuple[UnmatchedEvent, Values]]:
        if each.id not in self._passed:
            passed = self._passed[each.id] = self._ask(each.id, each.filter, None)
            by_key: dict[str, list[tuple[UnmatchedEvent, Values]]] = defaultdict(list)
            for event, values in passed:
                by_key[key(each.filter, values)].append((event, values))
            self._by_key[each.id] = by_key
        return self._passed[each.id]

    def _ask(
        self, id: str, filter: EventFilter, row: ListenerRow | None
    ) -> list[tuple[UnmatchedEvent, Values]]:
        variables = row.variables if row else None
        judged = (
            (event, self._judge.values(id, filter, event, variables))
            for event in self._recent_broadcasts
            if filter.accepts_type(event.type)
        )
        return [(event, values) for event, values in judged if values is not None]
