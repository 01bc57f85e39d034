"""Brings events to listeners, by the product's own filters and rules (`event_handler`): an event
once to each listener, a listener no more than it can take, correlation values bound by the first
event. An event addressed to an instance waits there for its listener; a broadcast counts for
a listener that is opened up to a few seconds after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.core.cloud_event_validation import validated
from orchestrator.core.model import Json, Listener, StimulusKind, Transition
from orchestrator.event_handler.compiled_event_filter import (
    MATCH_ALL,
    EventFilter,
    canonical,
    compiled,
)
from orchestrator.event_handler.listener_state import FilterMatches, ListenerState, Offer, Values
from orchestrator.expressions import NOW
from orchestrator.ids import uuid7
from orchestrator.testing.in_memory_rows import Rows

if TYPE_CHECKING:
    from orchestrator.testing.instance_store import InstanceStore

#: Seconds for which a broadcast counts for listeners that are opened after it.
LOOK_BACK = 5.0


@dataclass
class Event:
    """A received event. `to`: the instance that it is addressed to. `heard`: the listeners that
    were offered it, and whether they have taken it."""

    number: int
    event: dict[str, Json]
    namespace: str
    at: datetime
    to: str | None = None
    heard: dict[tuple[str, int], bool] = field(default_factory=dict)

    def taken_by(self, instance: str) -> bool:
        """Whether a listener of this instance has it."""
        return any(taken for (of, _), taken in self.heard.items() if of == instance)


@dataclass
class _Open:
    """An open listener."""

    rows: Rows
    listener: Listener
    opened: datetime
    #: Events up to this number were before it.
    mark: int
    state: ListenerState
    filters: list[tuple[EventFilter, int, bool]]
    #: Events up to this number were looked at.
    seen: int = 0

    @property
    def is_open(self) -> bool:
        return self.rows.listeners.get(self.listener.step) is self.listener

    @property
    def key(self) -> tuple[str, int]:
        return self.rows.instance.id, self.listener.step


class EventMatching:
    """All events and open listeners of a test."""

    def __init__(self, store: InstanceStore) -> None:
        self._store = store
        self.events: list[Event] = []
        self._open: list[_Open] = []
        self._ids: set[tuple[str, str, str]] = set()

    def receive(
        self, event: Mapping[str, Json], namespace: str, to: str | None = None
    ) -> Event | None:
        """Store an event. Return None for one that came before: it has no effect.

        Raises:
            InvalidEvent: it is no CloudEvent.
        """
        checked = validated(event)
        identity = (namespace, str(checked["source"]), str(checked["id"]))
        if identity in self._ids:
            return None
        self._ids.add(identity)
        new = Event(len(self.events) + 1, checked, namespace, self._store.now, to)
        self.events.append(new)
        return new

    def on_transition(self, rows: Rows, change: Transition) -> None:
        """Take the listeners, the emitted and the returned events of a transition."""
        for listener in change.listeners:
            self._open.append(self._opened(rows, listener))
        for event in change.emitted:
            self.receive(event, rows.workflow.namespace)
        for step, number in change.returned:
            self.on_refused(rows.instance.id, step, number)

    def on_refused(self, instance: str, step: int | None, number: Json) -> None:
        """Free an event that a listener has not consumed, for the instance's other listeners."""
        if step is None or not isinstance(number, int):
            return
        self.events[number - 1].heard[instance, step] = False
        for one in self._open:
            if one.rows.instance.id == instance:
                one.seen = min(one.seen, number - 1)

    def match(self) -> bool:
        """Offer events to open listeners. Return whether one was offered."""
        self._open = [one for one in self._open if one.is_open]
        offered = False
        for one in self._open:
            for event in self.events[one.seen :]:
                offered = self._offer(one, event) or offered
            one.seen = len(self.events)
        return offered

    def _offer(self, one: _Open, event: Event) -> bool:
        if one.state.is_saturated or not self._may_receive(one, event):
            return False
        offer = one.state.offer(self._matches(one, event.event))
        if offer is None:
            return False
        event.heard[one.key] = True
        self._store.send_stimulus(
            one.rows.instance.id,
            StimulusKind.EVENT,
            one.listener.step,
            _data(event, offer),
            run=False,
        )
        return True

    def _may_receive(self, one: _Open, event: Event) -> bool:
        instance = one.rows.instance.id
        if event.namespace != one.rows.instance.namespace or one.key in event.heard:
            return False
        if event.to is not None:
            return event.to == instance and not any(event.heard.values())
        if event.number > one.mark:
            return True
        own = one.listener.look_back
        since = one.opened - timedelta(seconds=LOOK_BACK if own is None else own)
        return event.at >= since and not event.taken_by(instance)

    def _matches(self, one: _Open, event: Mapping[str, Json]) -> FilterMatches:
        matches = FilterMatches()
        for filter, index, is_until in one.filters:
            values = self.values(filter, event, one.listener.variables or {})
            if values is not None:
                (matches.until if is_until else matches.main)[index] = values
        return matches

    def values(
        self, filter: EventFilter, event: Mapping[str, Json], variables: Mapping[str, Json]
    ) -> Values | None:
        """Return an event's correlation values if it passes a filter, else None."""
        now = {NOW: self._store.now.timestamp()}
        evaluate = self._store.evaluate
        if not filter.passes(event, {**variables, **now}, evaluate):
            return None
        return filter.correlation_values(event, now, evaluate)

    def _opened(self, rows: Rows, listener: Listener) -> _Open:
        state = ListenerState(
            instance=rows.instance.id,
            step=listener.step,
            mode=listener.mode,
            count=len(listener.filters),
            takes_one=listener.mode != "all" and listener.until is None,
            correlation=dict(listener.correlation or {}),
            offered_filters=set(),
            variables=listener.variables,
        )
        mark = len(self.events)
        return _Open(rows, listener, self._store.now, mark, state, list(_filters(listener)))


def cloud_event(
    event: Json, data: Json, attributes: Mapping[str, Json], number: int, now: datetime
) -> Json:
    """Return a CloudEvent: this one, or one of this type with what is missing."""
    if not isinstance(event, str):
        return event
    made = {
        "specversion": "1.0",
        "id": uuid7(int(now.timestamp() * 1000), number),
        "source": "urn:test",
        "type": event,
        "time": now.isoformat().replace("+00:00", "Z"),
    }
    return {**made, **({} if data is None else {"data": data}), **attributes}


def _filters(listener: Listener) -> Iterator[tuple[EventFilter, int, bool]]:
    until = listener.until
    ends = until["filters"] or [MATCH_ALL] if until and "filters" in until else []
    for definitions, is_until in ((listener.filters or [MATCH_ALL], False), (ends, True)):
        for index, definition in enumerate(definitions):
            yield compiled(canonical(definition)), index, is_until


def _data(event: Event, offer: Offer) -> dict[str, Json]:
    data: dict[str, Json] = {
        "event": event.event,
        "number": event.number,
        "matches": list(offer.matches),
    }
    if offer.until:
        data["until"] = list(offer.until)
    if offer.correlation is not None:
        data["correlation"] = dict(offer.correlation)
    return data
