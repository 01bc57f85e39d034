"""Tasks that wait for events and send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NewType

from orchestrator.dsl.document_task import Task, named_tasks, task
from orchestrator.dsl.expression import Expression
from orchestrator.dsl.values import condition, data, given

Json = Any
Filter = NewType("Filter", dict[str, Json])
Consumption = NewType("Consumption", dict[str, Json])


def event(*, correlate: Mapping[str, Json] | None = None, **attributes: object) -> Filter:
    """Return a filter of events: ``event(type="shop.paid", data=result.amount > 5)``.

    `correlate` binds keys of an event: ``{"order": correlation(result.order, input.id)}``.
    """
    keys = None if correlate is None else {name: dict(each) for name, each in correlate.items()}
    return Filter({"with": data(attributes), **given(correlate=keys)})


def correlation(from_: Expression, expect: object = None) -> dict[str, Json]:
    """Return one key of a correlation: its value in the event, and the one that it must have."""
    return given(from_=from_, expect=data(expect))


def one(filter: Filter) -> Consumption:
    """Wait for one event that fits."""
    return Consumption({"one": filter})


def all_events(*filters: Filter) -> Consumption:
    """Wait for one event for each of the filters."""
    return Consumption({"all": list(filters)})


def any_event(
    *filters: Filter, until: Expression | bool | Consumption | None = None
) -> Consumption:
    """Wait for one event that fits any of the filters; for any event without filters.

    `until`: consume events until a condition holds, or until that event comes. ``until=False``
    never ends.
    """
    end = condition(until) if isinstance(until, Expression | bool) else until
    return Consumption({"any": list(filters), **given(until=end)})


def iterator(
    *tasks: Task,
    item: str | None = None,
    at: str | None = None,
    output: object = None,
    export: object = None,
    **named: Task,
) -> dict[str, Json]:
    """Return what runs for every event, as `foreach` of `listen` or of a subscription. In the
    tasks ``variable.NAME`` is the event, with ``item="NAME"``."""
    done = named_tasks(tasks, named) or None
    shown = None if output is None else {"as": data(output)}
    kept = None if export is None else {"as": data(export)}
    return given(item=item, at=at, do=done, output=shown, export=kept)


def listen(
    to: Consumption,
    *,
    read: Literal["data", "envelope", "raw"] | None = None,
    foreach: Mapping[str, Json] | None = None,
) -> Task:
    """Return a step that waits for events. Its output is the list of their data."""
    return task("listen", listen={"to": to, **given(read=read)}, **given(foreach=foreach))


def emit(*, type: str | Expression, data: object = None, **attributes: object) -> Task:
    """Return a step that sends an event to the namespace's listeners."""
    sent = {"type": type, **attributes, **given(data=data)}
    return task("emit", emit={"event": {"with": _data(sent)}})


def _data(value: object) -> Json:
    return data(value)
