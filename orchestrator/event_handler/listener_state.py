"""What a listener may be offered: pure, and the same whether an event comes or is looked up.

A listener is not offered more than it can take: one event where it takes one, one for each of
its filters where it takes all. So what it leaves is free for whoever listens next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.model import Json
from orchestrator.event_handler.compiled_event_filter import equal_values

Values = Mapping[str, Json]
"""The correlation values that an event has for one filter."""


@dataclass(slots=True)
class FilterMatches:
    """The filters of one listener that one event passed, by their places, with its values."""

    main: dict[int, Values] = field(default_factory=dict)
    until: dict[int, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a listener is told of an event: see ``core.tasks.listen``."""

    matches: tuple[int, ...]
    until: tuple[int, ...] = ()
    correlation: Mapping[str, Json] | None = None


@dataclass(slots=True)
class ListenerState:
    """An open listener and what it has been offered so far.

    `count` is the number of its filters, `once` that any one event is enough. `correlation`
    grows: the first value of each name binds it.
    """

    instance: str
    step: int
    mode: str
    count: int
    takes_one: bool
    correlation: dict[str, Json]
    offered: set[int]
    is_saturated: bool = False
    variables: Mapping[str, Json] | None = None
    changed: bool = False
    bound: bool = False

    def offer(self, hits: FilterMatches) -> Offer | None:
        """Offer an event, if the listener can take it; note that it was offered."""
        if self.is_saturated:
            return None
        known = dict(self.correlation)
        until = _correlated(hits.until, known)
        main = [] if until else self._wanted(_correlated(hits.main, known))
        if not until and not main:
            return None
        if main:
            self._mark_offered(main)
        return Offer(tuple(main), tuple(until), self._bind(known))

    def _wanted(self, places: list[int]) -> list[int]:
        if self.mode != "all":
            return places
        free = [place for place in places if place not in self.offered]
        return places if free else []

    def _mark_offered(self, places: list[int]) -> None:
        if self.mode == "all":
            self.offered.add(next(place for place in places if place not in self.offered))
            self.is_saturated = len(self.offered) == self.count
            self.changed = True
        elif self.takes_one:
            self.is_saturated = self.changed = True

    def _bind(self, known: dict[str, Json]) -> Mapping[str, Json] | None:
        if len(known) == len(self.correlation):
            return None
        self.correlation = known
        self.changed = self.bound = True
        return known


def _correlated(hits: Mapping[int, Values], known: dict[str, Json]) -> list[int]:
    """The places whose values agree with what is known; what they bind becomes known."""
    places = []
    for place in sorted(hits):
        values = hits[place]
        if all(name not in known or equal_values(known[name], values[name]) for name in values):
            known.update({name: value for name, value in values.items() if name not in known})
            places.append(place)
    return places
