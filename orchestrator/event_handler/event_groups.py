"""Decides which events make an event-driven schedule due: pure.

Each set of events that satisfies ``schedule.on`` starts one instance. Events that are not enough
yet are collected in groups, one per set of correlation values. With `all`, an event joins the
oldest group that lacks an event for one of its filters, or opens a new group. So two events for
each filter start two instances, and none is lost.
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
    MATCH_ALL,
    EventFilter,
    canonical,
    compiled,
    identity,
    text,
)
from orchestrator.event_handler.listener_state import Values
from orchestrator.expressions import is_expression

MODES = ("one", "any", "all")

#: Default of ``read`` for a schedule's events. The specification's text and examples have an array
#: of events; only its later revision says ``data``.
READ = "envelope"


@dataclass(frozen=True, slots=True)
class Consumption:
    """A compiled ``schedule.on``. `filters` and `until` are pairs of an id and a filter."""

    mode: str
    filters: tuple[tuple[str, EventFilter], ...]
    until_mode: str | None
    until: tuple[tuple[str, EventFilter], ...]
    until_expression: Expression | None
    expects: Mapping[str, str | Expression]
    read: str
    digest: str

    @property
    def takes_one(self) -> bool:
        """Whether a single event is enough."""
        return self.mode != "all" and self.until_mode is None and self.until_expression is None

    @property
    def is_never_due(self) -> bool:
        """Whether no event can make the schedule due: it has no filters, or its ``until`` needs
        no event."""
        return not self.filters or (self.until_mode == "all" and not self.until)


@dataclass(frozen=True, slots=True)
class Group:
    """The events of one group, by their receipt numbers; `id` None: a new group. `matched_filters`
    and `ended_by` are the indexes of the filters, and of the filters of ``until``, that have had
    their event."""

    id: str | None
    event_numbers: tuple[int, ...] = ()
    matched_filters: tuple[int, ...] = ()
    ended_by: tuple[int, ...] = ()


@lru_cache(maxsize=1024)
def consumption(timing: str) -> Consumption:
    """Return the consumption of a schedule's timing (JSON text)."""
    parsed = json_codec.loads(timing)
    on = parsed["on"]
    mode, filters = _strategy(on)
    until = on.get("until") if mode == "any" else None
    until_mode, until_filters = _strategy(until) if isinstance(until, Mapping) else (None, [])
    return Consumption(
        mode=mode,
        filters=_compiled(filters or _empty(mode)),
        until_mode=until_mode,
        until=_compiled(until_filters or _empty(until_mode)),
        until_expression=Expression(until) if isinstance(until, str) else None,
        expects=_expected_values([*filters, *until_filters]),
        read=parsed.get("read", READ),
        digest=blake2b(timing.encode(), digest_size=12).hexdigest(),
    )


def _strategy(to: Mapping[str, Any]) -> tuple[str, list[dict[str, Json]]]:
    mode = next(mode for mode in MODES if mode in to)
    return mode, [to["one"]] if mode == "one" else list(to[mode])


def _empty(mode: str | None) -> list[dict[str, Json]]:
    """Return the filters of an empty list (dsl-reference.md, Event Consumption Strategy)."""
    return [MATCH_ALL] if mode == "any" else []


def _compiled(filters: Sequence[dict[str, Json]]) -> tuple[tuple[str, EventFilter], ...]:
    texts = [canonical(definition) for definition in filters]
    return tuple((identity("", text), compiled(text)) for text in texts)


def _expected_values(filters: Sequence[Mapping[str, Json]]) -> dict[str, str | Expression]:
    expected: dict[str, str | Expression] = {}
    for definition in filters:
        for name, body in (definition.get("correlate") or {}).items():
            if "expect" in body:
                text = body["expect"]
                is_path = text.lstrip().startswith((".", "$"))
                expected[name] = Expression(text) if is_expression(text) or is_path else text
    return expected


def group_key(of: Consumption, values: Values) -> str:
    """Return the key of the groups with these correlation values. It changes with the schedule's
    events, so that a changed schedule starts with new groups."""
    free = {name: text(value) for name, value in values.items() if name not in of.expects}
    content = json_codec.encode([of.digest, sorted(free.items())])
    return blake2b(content, digest_size=12).hexdigest()


def oldest_incomplete(groups: Sequence[Group], indexes: Sequence[int]) -> tuple[Group, int]:
    """With `all`: return the oldest group that lacks an event for one of these filters, and the
    filter's index."""
    for group in groups:
        for index in indexes:
            if index not in group.matched_filters:
                return group, index
    return Group(None), indexes[0]


def with_event(group: Group, event: int, index: int | None = None) -> Group:
    """Return the group with one more event, which matched the filter `index`."""
    matched = group.matched_filters if index is None else (*group.matched_filters, index)
    return replace(group, event_numbers=(*group.event_numbers, event), matched_filters=matched)


def is_complete(of: Consumption, group: Group) -> bool:
    """With `all`: whether each filter has had its event."""
    return len(group.matched_filters) == len(of.filters)


def with_end(of: Consumption, group: Group, indexes: Sequence[int]) -> tuple[Group, bool]:
    """Return the group after an event of its ``until``, and whether the group is complete now."""
    if of.until_mode != "all":
        return group, True
    by = tuple(sorted({*group.ended_by, *indexes}))
    return replace(group, ended_by=by), len(by) == len(of.until)
