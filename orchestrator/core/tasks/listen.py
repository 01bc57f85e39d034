"""``listen``: wait for events (dsl-reference.md, Listen, Event Consumption Strategy).

Events are matched elsewhere: the step registers a `Listener` and gets each event that matches by an
EVENT stimulus, whose data is

    event         the CloudEvent
    matches       the indices, in the listener's `filters`, of those that it passed
    until         the indices in `until.filters` of those that it passed, if any
    correlation   all bound correlation values, if the event bound new ones
    number        the event's number, by which it can be returned

The output is an array of what was read, in the order of consumption. With `foreach` each event is
processed before the next one is, and its output takes its place; events that come meanwhile wait in
`state`. An `until` expression is evaluated after an event was consumed; with `foreach` after it was
processed, so that it sees what that exported. Events that still wait when it is true were not
consumed: they are returned, for other listeners of the instance. A listener that never ends
(``until: false``) stores nothing of what it has consumed, because its output is never read.

Empty lists (dsl-reference.md, Event Consumption Strategy): ``any: []`` accepts every event, also in
`until`; ``all: []`` waits for nothing, so the listening ends before it begins.

`state`: `items` so far; `consumed`, what was read, if an `until` expression needs it;
`matched_filters` and `ended_by`, the filters that have had their event; `queue`, pairs of what was
read and the event's number; `count` of iterations begun; `closing`, once no more events are
consumed; `correlation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core import dsl_errors
from orchestrator.core.control_flow import begin_list, complete, proceed, prune
from orchestrator.core.data_flow import (
    NOTHING,
    evaluate_at,
    exported,
    is_true,
    seconds,
    transformed,
)
from orchestrator.core.data_schema import schema_of
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Expression, Template, transformation
from orchestrator.core.expression_variables import SECRETS, collect
from orchestrator.core.model import Json, Listener, Status
from orchestrator.core.payload_size import too_large
from orchestrator.core.task_kinds import StepFaulted, StimulusIgnored, TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft
from orchestrator.expressions import is_expression

MODES = ("one", "any", "all")

#: How many times larger than one output the events that wait for `foreach` may be.
QUEUE_FACTOR = 16


class ListenPlan:
    """A `listen` task, read once."""

    __slots__ = (
        "correlations",
        "endless",
        "filters",
        "iterator",
        "look_back",
        "mode",
        "names",
        "read",
        "until",
        "until_filters",
        "until_mode",
    )

    def __init__(self, plan: Plan) -> None:
        body = plan.task.body
        to = body["listen"]["to"]
        self.mode, self.filters = _strategy(to)
        look_back = plan.task.metadata.get("lookBack")
        self.look_back = None if look_back is None else seconds(look_back)
        self.read: str = body["listen"].get("read", "data")
        until = to.get("until") if self.mode == "any" else None
        self.until = Expression(until, "listen.to.until") if isinstance(until, str) else None
        self.until_mode: str | None = None
        self.until_filters: list[dict[str, Any]] = []
        if isinstance(until, Mapping):
            self.until_mode, self.until_filters = _strategy(until)
        self.endless = self.until is not None and self.until.program == "false"
        self.correlations = _correlations(self.filters)
        with_clauses = Template([item.get("with") for item in [*self.filters, *self.until_filters]])
        self.names = tuple(name for name in with_clauses.names() if name not in SECRETS)
        self.iterator = Iterator(plan) if "foreach" in body else None

    @property
    def stops_at_first(self) -> bool:
        """Whether one event ends the listening."""
        return self.mode != "all" and self.until is None and self.until_mode is None

    @property
    def is_over(self) -> bool:
        """Whether it waits for nothing: all of no events."""
        return (self.mode == "all" and not self.filters) or (
            self.until_mode == "all" and not self.until_filters
        )

    @property
    def has_expression(self) -> bool:
        """Whether an expression decides when it ends."""
        return self.until is not None and not self.endless


class Iterator:
    """What runs for each event (dsl-reference.md, Subscription Iterator)."""

    __slots__ = ("at", "export", "export_schema", "item", "output", "output_schema")

    def __init__(self, plan: Plan) -> None:
        body = plan.task.body["foreach"] or {}
        self.item: str = body.get("item", "item")
        self.at: str = body.get("at", "index")
        output, export = body.get("output") or {}, body.get("export") or {}
        self.output = transformation(output.get("as"), "foreach.output.as", loose=plan.loose)
        self.output_schema = schema_of(output)
        self.export = transformation(export.get("as"), "foreach.export.as", loose=plan.loose)
        self.export_schema = schema_of(export)


def _strategy(to: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    mode = next(mode for mode in MODES if mode in to)
    return mode, [to["one"]] if mode == "one" else list(to[mode])


def _correlations(filters: list[dict[str, Any]]) -> dict[str, str]:
    """Return the `expect` of each correlation that has one."""
    return {
        name: body["expect"]
        for item in filters
        for name, body in (item.get("correlate") or {}).items()
        if "expect" in body
    }


def listen_plan_of(plan: Plan) -> ListenPlan:
    """Return the plan of a listen task."""
    listen_plan: ListenPlan | None = plan.kind_plan
    if listen_plan is None:
        listen_plan = plan.kind_plan = ListenPlan(plan)
    return listen_plan


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Register the listener."""
    listen_plan = listen_plan_of(plan)
    if listen_plan.is_over:
        return complete(draft, node, [])
    correlation = {
        name: _expected(draft, node, text) for name, text in listen_plan.correlations.items()
    }
    if _correlates(listen_plan):
        draft.add_fact("workflow.correlation-started", node.id)
    draft.set_status(node, Status.WAITING)
    return register_listener(draft, node, listen_plan, correlation)


def register_listener(
    draft: Draft, node: Node, listen_plan: ListenPlan, correlation: Mapping[str, Json]
) -> None:
    """Add the step's listener to the transition."""
    until: Json = None
    if listen_plan.until is not None:
        until = {"expression": listen_plan.until.program}
    elif listen_plan.until_mode is not None:
        until = {"mode": listen_plan.until_mode, "filters": listen_plan.until_filters}
    draft.listeners.append(
        Listener(
            node.id,
            listen_plan.mode,
            listen_plan.filters,
            until,
            listen_plan.read,
            dict(correlation) or None,
            collect(draft, node, listen_plan.names, NOTHING) or None,
            listen_plan.look_back,
        )
    )


def _correlates(listen_plan: ListenPlan) -> bool:
    return any(item.get("correlate") for item in listen_plan.filters)


def _expected(draft: Draft, node: Node, text: str) -> Json:
    """Return the value of an `expect`: a constant or an expression, which may be bare if it begins
    with a path."""
    if is_expression(text) or text.lstrip().startswith((".", "$")):
        return evaluate_at(draft, node, Expression(text, "listen.to: expect"), node.input)
    return text


# -- handlers of events --------


def on_event(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """Consume an event that has matched. Raises `StimulusIgnored` if the listener no longer accepts
    it: the event is then offered to other listeners."""
    listen_plan = listen_plan_of(draft.plan_of(node))
    matched = node.get_state("matched_filters", [])
    unmatched = [index for index in data.get("matches", ()) if index not in matched]
    if node.get_state("closing"):
        raise StimulusIgnored("nothing more is consumed")
    if listen_plan.mode == "all" and not unmatched and not data.get("until"):
        raise StimulusIgnored("each of its filters has had its event")
    if data.get("correlation"):
        node.set_state(correlation=data["correlation"])
        register_listener(draft, node, listen_plan, data["correlation"])
    if data.get("until"):
        if _ends(node, listen_plan, data["until"]):
            _close(draft, node)
        return None
    if listen_plan.mode == "all":
        node.set_state(matched_filters=[*matched, unmatched[0]])
    return _consume(draft, node, listen_plan, data)


def _ends(node: Node, listen_plan: ListenPlan, indices: list[int]) -> bool:
    """Whether this event of its `until` ends the listening."""
    if listen_plan.until_mode != "all":
        return True
    ended = sorted({*node.get_state("ended_by", []), *indices})
    node.set_state(ended_by=ended)
    return len(ended) == len(listen_plan.until_filters)


def _consume(draft: Draft, node: Node, listen_plan: ListenPlan, data: Mapping[str, Json]) -> None:
    item = _read(listen_plan.read, data["event"])
    ends = (
        listen_plan.stops_at_first
        or len(node.get_state("matched_filters", ())) == len(listen_plan.filters) > 0
    )
    if listen_plan.iterator is not None:
        queue = [*node.get_state("queue", []), [item, data.get("number")]]
        node.set_state(queue=_check_bounds(draft, node, queue, QUEUE_FACTOR))
    else:
        _remember(draft, node, listen_plan, item)
        _collect(draft, node, listen_plan, item)
        ends = ends or _is_until_true(draft, node, listen_plan)
    if ends:
        return _close(draft, node)
    return _next(draft, node)


def _remember(draft: Draft, node: Node, listen_plan: ListenPlan, item: Json) -> None:
    """Store an event that was consumed, for the `until` expression."""
    if listen_plan.has_expression:
        node.set_state(consumed=_check_bounds(draft, node, [*node.get_state("consumed", []), item]))


def _is_until_true(draft: Draft, node: Node, listen_plan: ListenPlan) -> bool:
    """Whether the `until` expression ends the listening."""
    if listen_plan.until is None or listen_plan.endless:
        return False
    return is_true(draft, node, listen_plan.until, node.get_state("consumed", []))


def _read(mode: str, event: Mapping[str, Json]) -> Json:
    if mode == "envelope":
        return dict(event)
    if mode == "raw" and "data_base64" in event:
        return event["data_base64"]
    return event.get("data")


def _collect(draft: Draft, node: Node, listen_plan: ListenPlan, item: Json) -> None:
    if not listen_plan.endless:
        node.set_state(items=_check_bounds(draft, node, [*node.get_state("items", []), item]))


def _check_bounds(draft: Draft, node: Node, items: list[Json], times: int = 1) -> list[Json]:
    """Return the consumed events. Raises `StepFaulted` if they are too many, or larger than `times`
    one output may be."""
    if len(items) > draft.limits.events:
        fault = dsl_errors.runtime(f"the listener has consumed {draft.limits.events} events")
        raise StepFaulted(node, fault.error)
    if fault_of_size := too_large(items, times * draft.limits.payload):
        raise StepFaulted(node, fault_of_size.error)
    return items


def _close(draft: Draft, node: Node) -> None:
    """Consume no more events; those that wait are still processed."""
    draft.remove_listener(node.id)
    node.set_state(closing=True)
    _next(draft, node)


# -- `foreach`: the tasks that run for each event ----


def _next(draft: Draft, node: Node) -> None:
    """Process the next waiting event, or continue to wait, or end."""
    if node.open_children:
        return
    listen_plan = listen_plan_of(draft.plan_of(node))
    while queue := node.get_state("queue", []):
        ((item, _), *rest) = queue
        index = node.get_state("count", 0)
        node.set_state(queue=rest or None, count=index + 1)
        _remember(draft, node, listen_plan, item)
        iterator = listen_plan.iterator
        assert iterator is not None  # noqa: S101  only events for an iterator wait
        scope = {iterator.item: item, iterator.at: index}
        node.open_children = 1
        if node.status is not Status.RUNNING:
            draft.set_status(node, Status.RUNNING)
        if begin_list(draft, node.id, node.reference + "/foreach/do", item, scope, index):
            return
        _on_item_processed(draft, node, listen_plan, item, scope)
    if node.get_state("closing"):
        if _correlates(listen_plan):
            keys = {"keys": node.get_state("correlation")}
            draft.add_fact("workflow.correlation-completed", node.id, keys)
        complete(draft, node, node.get_state("items", []))
    elif node.status is not Status.WAITING:
        draft.set_status(node, Status.WAITING)


def _on_item_processed(
    draft: Draft, node: Node, listen_plan: ListenPlan, output: Json, scope: Mapping[str, Json]
) -> None:
    iterator = listen_plan.iterator
    assert iterator is not None  # noqa: S101  see `_next`
    node.open_children = 0
    item = transformed(draft, node, iterator.output, iterator.output_schema, output, "item", scope)
    draft.root.context = exported(draft, node, iterator.export, iterator.export_schema, item, scope)
    _collect(draft, node, listen_plan, item)
    if _is_until_true(draft, node, listen_plan):
        _return_queue(draft, node)


def _return_queue(draft: Draft, node: Node) -> None:
    """Consume no more events and return those that wait."""
    waiting = node.get_state("queue", [])
    draft.returned += [(node.id, number) for _, number in waiting if number is not None]
    draft.remove_listener(node.id)
    node.set_state(closing=True, queue=None)


def on_child_completed(draft: Draft, node: Node, child: Node, then: str | None) -> None:
    """Begin the next task for this event; after the last one, the next event."""
    if proceed(draft, child, then):
        return
    if (child.index or 0) >= draft.limits.kept_turns:
        prune(draft, child)
    listen_plan = listen_plan_of(draft.plan_of(node))
    _on_item_processed(draft, node, listen_plan, child.output, child.scope or {})
    _next(draft, node)


register("listen", TaskKind(enter, on_child_completed=on_child_completed, on_event=on_event))
