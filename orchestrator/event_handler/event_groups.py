"""Which events make an event-driven schedule due: pure.

Each set of events that satisfies ``schedule.on`` starts one instance. Events that do not
suffice yet are gathered in groups, those of different correlation values apart. With `all`, an
event goes into the oldest group that still lacks one of its kind, and opens a new one where
none does: so two of each make two instances, and none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from orchestrator import json_codec
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.event_handler.compiled_event_filter import (
    EventFilter,
    canonical,
    compiled,
    identity,
    text,
)
from orchestrator.event_handler.listener_state import Values
from orchestrator.event_handler.match_batch import MATCH_ALL
from orchestrator.expressions import is_expression

MODES = ("one", "any", "all")

#: What a schedule's events are read as, unless it says so. The specification's text and
#: examples have an array of events; its later revision alone says ``data``.
READ = "envelope"


@dataclass(frozen=True, slots=True)
class Consumption:
    """``schedule.on``, read once: `filters` and `until` are pairs of an id and a filter."""

    mode: str
    filters: tuple[tuple[str, EventFilter], ...]
    until_mode: str | None
    until: tuple[tuple[str, EventFilter], ...]
    until_expression: Expression | None
    expects: Mapping[str, str | Expression]
    read: str
    digest: str

    @property
    def once(self) -> bool:
        """Whether any one event is enough."""
        return self.mode != "all" and self.until_mode is None and self.until_expression is None

    @property
    def never(self) -> bool:
        """Whether no event makes it due: it waits for all of no events, or is over with the
        first event of any kind."""
        return not self.filters or (self.until_mode == "all" and not self.until)


@dataclass(frozen=True, slots=True)
class Group:
    """Events gathered so far; `id` None: a new one. `got` and `ended_by` are places of filters
    (of ``until``) that have had their event."""

    id: str | None
    members: tuple[int, ...] = ()
    got: tuple[int, ...] = ()
    ended_by: tuple[int, ...] = ()


@lru_cache(maxsize=1024)
def consumption(timing: str) -> Consumption:
    """The consumption that a schedule's timing (JSON text) asks for."""
    given = json_codec.loads(timing)
    on = given["on"]
    mode, filters = _strategy(on)
    until = on.get("until") if mode == "any" else None
    until_mode, until_filters = _strategy(until) if isinstance(until, Mapping) else (None, [])
    return Consumption(
        mode=mode,
        filters=_compiled(filters or _empty(mode)),
        until_mode=until_mode,
        until=_compiled(until_filters or _empty(until_mode)),
        until_expression=Expression(until) if isinstance(until, str) else None,
        expects=_expects([*filters, *until_filters]),
        read=given.get("read", READ),
        digest=blake2b(timing.encode(), digest_size=12).hexdigest(),
    )


def _strategy(to: Mapping[str, Any]) -> tuple[str, list[dict[str, Json]]]:
    mode = next(mode for mode in MODES if mode in to)
    return mode, [to["one"]] if mode == "one" else list(to[mode])


def _empty(mode: str | None) -> list[dict[str, Json]]:
    """What a list without filters stands for (dsl-reference.md, Event Consumption Strategy)."""
    return [MATCH_ALL] if mode == "any" else []


def _compiled(filters: Sequence[dict[str, Json]]) -> tuple[tuple[str, EventFilter], ...]:
    texts = [canonical(definition) for definition in filters]
    return tuple((identity("", one), compiled(one)) for one in texts)


def _expects(filters: Sequence[Mapping[str, Json]]) -> dict[str, str | Expression]:
    found: dict[str, str | Expression] = {}
    for definition in filters:
        for name, body in (definition.get("correlate") or {}).items():
            if "expect" in body:
                said = body["expect"]
                begins = said.lstrip().startswith((".", "$"))
                found[name] = Expression(said) if is_expression(said) or begins else said
    return found


def key(of: Consumption, values: Values) -> str:
    """What the groups of these correlation values have in common. A schedule whose events
    change begins anew."""
    free = {name: text(value) for name, value in values.items() if name not in of.expects}
    told = json_codec.encode([of.digest, sorted(free.items())])
    return blake2b(told, digest_size=12).hexdigest()


def oldest_incomplete(groups: Sequence[Group], places: Sequence[int]) -> tuple[Group, int]:
    """With `all`: the oldest group that lacks an event of one of these places, and the place."""
    for group in groups:
        for place in places:
            if place not in group.got:
                return group, place
    return Group(None), places[0]


def with_event(group: Group, event: int, place: int | None = None) -> Group:
    """The group with one more event, which is the one of a place."""
    got = group.got if place is None else (*group.got, place)
    return replace(group, members=(*group.members, event), got=got)


def is_complete(of: Consumption, group: Group) -> bool:
    """With `all`: whether each filter has had its event."""
    return len(group.got) == len(of.filters)


def with_end(of: Consumption, group: Group, places: Sequence[int]) -> tuple[Group, bool]:
    """The group after an event of its ``until``, and whether that was the last it needed."""
    if of.until_mode != "all":
        return group, True
    by = tuple(sorted({*group.ended_by, *places}))
    return replace(group, ended_by=by), len(by) == len(of.until)
