"""What one round has found out about listeners, and is going to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator import codec
from orchestrator.core.values import Json
from orchestrator.database import events, listener_keys, listeners
from orchestrator.database.events import Waiting
from orchestrator.database.listener_keys import FilterRow, Key
from orchestrator.database.listeners import Candidate, Known, ListenerRow, NewOffer
from orchestrator.database.slices import Reader
from orchestrator.event_handler.filters import Filter, canonical, compiled, identity, key
from orchestrator.event_handler.standing import Hits, Standing

#: A filter that takes every event: what an empty list of filters stands for with `any`.
EVERYTHING: dict[str, Json] = {"with": {}}

Who = tuple[str, int]
"""A listener: its instance and its step."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A filter of a listener, where it stands in it."""

    place: int
    until: bool
    id: str
    filter: Filter
    text: str


def placed(namespace: str, row: ListenerRow) -> list[Placed]:
    """The filters of a listener. (One that waits for all of no events is never made.)"""
    until = row.until["filters"] or [EVERYTHING] if row.until and "filters" in row.until else []
    return [
        *_placed(namespace, row.filters or [EVERYTHING], until=False),
        *_placed(namespace, until, until=True),
    ]


def _placed(namespace: str, filters: Sequence[dict[str, Json]], *, until: bool) -> Iterator[Placed]:
    for place, definition in enumerate(filters):
        text = canonical(definition)
        yield Placed(place, until, identity(namespace, text), compiled(text), text)


class Book:
    """The listeners that a round has to do with, and the offers that it makes them."""

    def __init__(self, cursor: Reader, namespace: str) -> None:
        self._cursor = cursor
        self._namespace = namespace
        self._standings: dict[Who, Standing] = {}
        self._looked: dict[Who, tuple[ListenerRow, list[Placed]]] = {}
        self._offers: list[NewOffer] = []
        self._taken: list[int] = []
        self._texts: dict[int, str] = {}
        #: The instances that have been told of an event.
        self.told: list[str] = []

    def row(self, row: ListenerRow) -> Standing:
        """The standing of a listener that was read whole."""
        return self._standing(
            Standing(
                instance=row.instance,
                step=row.step,
                mode=row.mode,
                count=len(row.filters),
                once=row.mode != "all" and row.until is None,
                correlation=dict(row.correlation or {}),
                offered=set(row.offered),
                full=row.full,
                variables=row.variables,
            )
        )

    def candidate(self, row: Candidate) -> Standing:
        """The standing of a listener that an event has found."""
        return self._standing(
            Standing(
                instance=row.instance,
                step=row.step,
                mode=row.mode,
                count=row.count,
                once=row.once,
                correlation=dict(row.correlation or {}),
                offered=set(row.offered),
            )
        )

    def _standing(self, standing: Standing) -> Standing:
        return self._standings.setdefault((standing.instance, standing.step), standing)

    def looked(self, row: ListenerRow, filters: list[Placed], *, again: bool) -> None:
        """What came before a listener has been looked for (unless `again`, there is more):
        from now on events find it."""
        done = replace(row, looks=row.looks if again else row.asks)
        self._looked[row.instance, row.step] = (done, filters)

    def offer(self, standing: Standing, event: Waiting, hits: Hits) -> bool:
        """Offer an event to a listener, if it can take it."""
        offer = standing.take(hits)
        if offer is None:
            return False
        data: dict[str, Json] = {"number": event.number, "matches": list(offer.matches)}
        if offer.until:
            data["until"] = list(offer.until)
        if offer.correlation is not None:
            data["correlation"] = dict(offer.correlation)
        told = f'{{"event":{self._text(event)},{codec.dumps(data)[1:]}'
        self._offers.append(NewOffer(event.number, standing.instance, standing.step, told))
        if event.target is not None:
            self._taken.append(event.number)
        return True

    def _text(self, event: Waiting) -> str:
        if event.number not in self._texts:
            self._texts[event.number] = codec.dumps(event.event)
        return self._texts[event.number]

    def write(self) -> None:
        """Write all of it, and begin a new page."""
        changed = {
            who: one for who, one in self._standings.items() if one.changed or who in self._looked
        }
        listeners.know(self._cursor, [self._known(one) for one in changed.values()])
        open = {who: one for who, one in changed.items() if not one.full}
        self._share(who for who in open if who in self._looked)
        listener_keys.index(self._cursor, [*self._new_keys(open), *self._bound_keys(open)])
        listener_keys.unindex(self._cursor, [who for who, one in changed.items() if one.full])
        self.told += listeners.offer(self._cursor, self._offers)
        events.taken(self._cursor, self._taken)
        self._standings, self._looked, self._offers, self._taken = {}, {}, [], []

    def _known(self, one: Standing) -> Known:
        looked = self._looked.get((one.instance, one.step))
        return Known(
            instance=one.instance,
            step=one.step,
            correlation=one.correlation or None,
            offered=tuple(sorted(one.offered)),
            full=one.full,
            looks=looked[0].looks if looked else 0,
        )

    def _share(self, who: Iterator[Who]) -> None:
        rows = {
            one.id: FilterRow(one.id, one.filter.type, one.filter.lifecycle, one.text)
            for each in who
            for one in self._looked[each][1]
        }
        listener_keys.share(self._cursor, self._namespace, [rows[id] for id in sorted(rows)])

    def _new_keys(self, open: Mapping[Who, Standing]) -> Iterator[Key]:
        """Of listeners that were looked at."""
        for who, (_, filters) in self._looked.items():
            for each in filters if who in open else ():
                digest = key(each.filter, open[who].correlation)
                yield Key(*who, each.until, each.place, each.id, digest)

    def _bound_keys(self, open: Mapping[Who, Standing]) -> Iterator[Key]:
        """Of listeners whose correlation an event has bound."""
        bound = [who for who, one in open.items() if one.bound and who not in self._looked]
        for known, text in listener_keys.keys(self._cursor, bound):
            correlation = open[known.instance, known.step].correlation
            yield replace(known, key=key(compiled(text), correlation))
