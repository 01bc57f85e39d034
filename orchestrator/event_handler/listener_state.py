"""Decides which events a listener is offered: pure, and equal for new events and for look-backs.

A listener is not offered more than it can take: one event, or with `all` one for each of its
filters. The other events stay free for the next listener.
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
    """The filters of one listener that one event passed, by their indexes, with the event's
    correlation values."""

    main: dict[int, Values] = field(default_factory=dict)
    until: dict[int, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """An event's offer to a listener: the indexes of the matching filters, and the new correlation
    values. See ``core.tasks.listen``."""

    matches: tuple[int, ...]
    until: tuple[int, ...] = ()
    correlation: Mapping[str, Json] | None = None


@dataclass(slots=True)
class ListenerState:
    """An open listener and its offers so far.

    `count` is its number of filters. `takes_one`: a single event is enough. `correlation` grows:
    the first value of each name binds the name.
    """

    instance: str
    step: int
    mode: str
    count: int
    takes_one: bool
    correlation: dict[str, Json]
    offered_filters: set[int]
    is_saturated: bool = False
    variables: Mapping[str, Json] | None = None
    changed: bool = False
    bound: bool = False

    def offer(self, matches: FilterMatches) -> Offer | None:
        """Return an offer, and record it, if the listener can take the event; otherwise None."""
        if self.is_saturated:
            return None
        bound = dict(self.correlation)
        until = _correlated(matches.until, bound)
        main = [] if until else self._acceptable(_correlated(matches.main, bound))
        if not until and not main:
            return None
        if main:
            self._mark_offered(main)
        return Offer(tuple(main), tuple(until), self._bind(bound))

    def _acceptable(self, indexes: list[int]) -> list[int]:
        if self.mode != "all":
            return indexes
        free = [index for index in indexes if index not in self.offered_filters]
        return indexes if free else []

    def _mark_offered(self, indexes: list[int]) -> None:
        if self.mode == "all":
            self.offered_filters.add(
                next(index for index in indexes if index not in self.offered_filters)
            )
            self.is_saturated = len(self.offered_filters) == self.count
            self.changed = True
        elif self.takes_one:
            self.is_saturated = self.changed = True

    def _bind(self, bound: dict[str, Json]) -> Mapping[str, Json] | None:
        if len(bound) == len(self.correlation):
            return None
        self.correlation = bound
        self.changed = self.bound = True
        return bound


def _correlated(matches: Mapping[int, Values], bound: dict[str, Json]) -> list[int]:
    """Return the indexes whose values agree with the bound ones, and bind their new values."""
    indexes = []
    for index in sorted(matches):
        values = matches[index]
        if all(name not in bound or equal_values(bound[name], values[name]) for name in values):
            bound.update({name: value for name, value in values.items() if name not in bound})
            indexes.append(index)
    return indexes
