"""What came before a listener: its instance's mailbox, however old, the broadcast events that
are numbered above its mark, and those of a few seconds before, as far as its instance may hear
them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from orchestrator.database import events, listeners
from orchestrator.database.events import Waiting
from orchestrator.database.listeners import ListenerRow
from orchestrator.database.slices import Reader
from orchestrator.event_handler.book import Book, Placed, Who, placed
from orchestrator.event_handler.filters import Filter, key
from orchestrator.event_handler.judging import Judge
from orchestrator.event_handler.standing import Hits, Standing, Values

#: Broadcast events that are looked back at, at most: the newest.
LATELY = 20_000
#: Events of one mailbox that are looked at in one go.
MAILBOX = 1000
#: Events that an instance turned down and that it may be offered anew.
REFUSED = 200


class LookBack:
    """Gives listeners the events that came before them, all of one round together."""

    def __init__(
        self, cursor: Reader, namespace: str, judge: Judge, book: Book, look_back: float
    ) -> None:
        self._cursor = cursor
        self._look_back = look_back
        self._namespace = namespace
        self._judge = judge
        self._book = book

    def look(self, rows: Sequence[ListenerRow]) -> None:
        """Look for what came before these listeners, and offer it; raises `Stuck`."""
        filters = {(row.instance, row.step): placed(self._namespace, row) for row in rows}
        boxes = self._boxes(rows, filters.values())
        early = _Early(self._judge, self._lately(rows), self._look_back)
        returned = self._returned(rows)
        found: dict[Who, dict[int, tuple[Waiting, Hits]]] = {}
        for row in rows:
            who, standing = (row.instance, row.step), self._book.row(row)
            hits = found[who] = {}
            for each in filters[who] if not standing.full else ():
                given = [*boxes.get(row.instance, ()), *returned.get(row.instance, ())]
                _note(hits, each, self._judged(each, given, row))
                if row.looks == 0:
                    _note(hits, each, early.found(each, row, standing))
        self._offer(rows, filters, found, boxes)

    def _boxes(
        self, rows: Sequence[ListenerRow], filters: Iterable[list[Placed]]
    ) -> dict[str, list[Waiting]]:
        asked = [one.filter.type for several in filters for one in several]
        types = [type for type in asked if type is not None]
        return events.mailboxes(
            self._cursor,
            sorted({row.instance for row in rows}),
            types if len(types) == len(asked) else None,
            MAILBOX,
        )

    def _lately(self, rows: Sequence[ListenerRow]) -> list[Waiting]:
        new = [row for row in rows if row.looks == 0]
        if not new:
            return []
        return events.lately(
            self._cursor,
            self._namespace,
            min(row.above for row in new),
            min((row.mark for row in new if row.mark is not None), default=None),
            min(row.since(self._look_back) for row in new),
            LATELY,
        )

    def _returned(self, rows: Sequence[ListenerRow]) -> dict[str, list[Waiting]]:
        """The broadcast events that instances have turned down since."""
        again = sorted({row.instance for row in rows if row.looks > 0})
        pairs = listeners.refused(self._cursor, again, REFUSED) if again else []
        known = events.by_numbers(self._cursor, (number for _, number in pairs))
        found: dict[str, list[Waiting]] = defaultdict(list)
        for instance, number in pairs:
            if number in known and known[number].target is None:
                found[instance].append(known[number])
        return found

    def _judged(
        self, each: Placed, given: Iterable[Waiting], row: ListenerRow
    ) -> Iterable[tuple[Waiting, Values]]:
        for event in given:
            if not row.hears(event, self._look_back):
                continue
            values = self._judge.values(each.id, each.filter, event, row.variables)
            if values is not None:
                yield event, values

    def _offer(
        self,
        rows: Sequence[ListenerRow],
        filters: dict[Who, list[Placed]],
        found: dict[Who, dict[int, tuple[Waiting, Hits]]],
        boxes: dict[str, list[Waiting]],
    ) -> None:
        """In the order of events; what the instance has taken already is not for it."""
        pairs = {(number, who[0]) for who, hits in found.items() for number in hits}
        made = listeners.made(self._cursor, pairs)
        live = {(one.event, one.instance) for one in made if not one.refused}
        tried = {(one.event, one.instance, one.step) for one in made}
        for row in rows:
            who, standing, taken = (row.instance, row.step), self._book.row(row), False
            for number, (event, hits) in sorted(found[who].items()):
                if (number, row.instance) not in live and (number, *who) not in tried:
                    offered = self._book.offer(standing, event, hits)
                    taken = taken or (offered and event.target is not None)
            more = taken and len(boxes.get(row.instance, ())) == MAILBOX and not standing.full
            self._book.looked(row, filters[who], again=more)


def _note(
    hits: dict[int, tuple[Waiting, Hits]],
    each: Placed,
    found: Iterable[tuple[Waiting, Values]],
) -> None:
    for event, values in found:
        _, known = hits.setdefault(event.number, (event, Hits()))
        (known.until if each.until else known.main)[each.place] = values


class _Early:
    """The broadcast events of a few seconds, by the filters that they pass: each is judged
    once a filter, and found by its key, however many listeners share the filter."""

    def __init__(self, judge: Judge, lately: Sequence[Waiting], look_back: float) -> None:
        self._judge = judge
        self._lately = lately
        self._look_back = look_back
        self._passed: dict[str, list[tuple[Waiting, Values]]] = {}
        self._by_key: dict[str, dict[str, list[tuple[Waiting, Values]]]] = {}

    def found(
        self, each: Placed, row: ListenerRow, standing: Standing
    ) -> Iterable[tuple[Waiting, Values]]:
        """The events that passed a filter of a listener, of those that it hears."""
        if each.filter.names:
            passed = self._ask(each.id, each.filter, row)
        elif digest := key(each.filter, standing.correlation):
            self._ask_once(each)
            passed = self._by_key[each.id].get(digest, [])
        else:
            passed = self._ask_once(each)
        return [one for one in passed if row.hears(one[0], self._look_back)]

    def _ask_once(self, each: Placed) -> list[tuple[Waiting, Values]]:
        if each.id not in self._passed:
            passed = self._passed[each.id] = self._ask(each.id, each.filter, None)
            by_key: dict[str, list[tuple[Waiting, Values]]] = defaultdict(list)
            for event, values in passed:
                by_key[key(each.filter, values)].append((event, values))
            self._by_key[each.id] = by_key
        return self._passed[each.id]

    def _ask(
        self, id: str, filter: Filter, row: ListenerRow | None
    ) -> list[tuple[Waiting, Values]]:
        variables = row.variables if row else None
        judged = (
            (event, self._judge.values(id, filter, event, variables))
            for event in self._lately
            if filter.takes(event.type)
        )
        return [(event, values) for event, values in judged if values is not None]
