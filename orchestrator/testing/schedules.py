"""The schedules of a test's workflows, by the virtual clock and by its events.

Due times, expressions of cron and the filters of events are the product's own. Of the policies
`input`, `timezone`, `daylightSaving` and `overlap: allow` or `skip` have a meaning here: no beat is
ever late, so nothing is missed, and jitter would only hide when something is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator import json_codec
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.document.model import Workflow
from orchestrator.event_handler import event_groups
from orchestrator.event_handler.compiled_event_filter import EventFilter, equal_values
from orchestrator.event_handler.event_content import content_for
from orchestrator.event_handler.event_groups import Consumption, Group
from orchestrator.event_handler.listener_state import Values
from orchestrator.expressions import NOW, ExpressionError
from orchestrator.scheduler.schedules.policy_options import (
    Overlap,
    ScheduleKind,
    SchedulePlan,
    fill,
    plans,
)
from orchestrator.testing.errors import TestingError

if TYPE_CHECKING:
    from orchestrator.testing.engine import Engine
    from orchestrator.testing.event_matching import Event


@dataclass
class _Schedule:
    """A schedule that is active. `last`: the instance that it started last; `groups`: events that
    wait for others, by their correlation."""

    workflow_id: str
    plan: SchedulePlan
    since: datetime
    due: datetime | None = None
    last: str | None = None
    groups: dict[str, list[Group]] = field(default_factory=dict)


class Schedules:
    """All active schedules of a test."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._all: list[_Schedule] = []
        #: The instances that schedules have started.
        self.started: list[str] = []

    def activate(self, workflow: Workflow, workflow_id: str) -> None:
        """Activate the schedules of a workflow.

        Raises:
            TestingError: one needs what tests do not have.
        """
        for plan in plans(workflow.document):
            self._refuse(plan)
            one = _Schedule(workflow_id, plan, self._engine.now)
            self._next(one, self._engine.now)
            self._all.append(one)

    @staticmethod
    def _refuse(plan: SchedulePlan) -> None:
        if plan.policy.overlap not in (Overlap.ALLOW, Overlap.SKIP):
            raise TestingError(f"overlap: {plan.policy.overlap} has no meaning in tests")
        if plan.kind is ScheduleKind.ON:
            of = event_groups.consumption(json_codec.dumps(dict(plan.timing)))
            if of.until_mode is not None or of.until_expression is not None:
                raise TestingError("schedule.on with `until` has no meaning in tests")

    def next_due(self) -> datetime | None:
        """Return when a schedule is due next."""
        self._look_at_ends()
        return min((one.due for one in self._all if one.due is not None), default=None)

    def fire(self) -> None:
        """Start what is due now."""
        now = self._engine.now
        for one in self._all:
            if one.due is not None and one.due <= now:
                due = one.due
                self._next(one, now)
                self._start(one, self._input(one, due))

    def on_event(self, event: Event) -> None:
        """Start what an event makes due."""
        for one in self._all:
            namespace = self._engine.workflows[one.workflow_id].namespace
            if one.plan.kind is ScheduleKind.ON and event.namespace == namespace:
                self._match(one, event)

    # -- times ---------------------------------------------------------------------------------

    def _next(self, one: _Schedule, after: datetime) -> None:
        recurrence = one.plan.recurrence(one.since)
        if recurrence is not None:
            one.due = recurrence.after(after)
        elif one.plan.kind is ScheduleKind.AFTER and one.last is None:
            one.due = after + timedelta(seconds=one.plan.timing["after"])
        else:
            one.due = None

    def _look_at_ends(self) -> None:
        """`after` counts from the end of the last instance."""
        for one in self._all:
            if one.plan.kind is ScheduleKind.AFTER and one.due is None and one.last is not None:
                instance = self._engine.rows[one.last].instance
                if instance.ended_at is not None:
                    one.due = instance.ended_at + timedelta(seconds=one.plan.timing["after"])

    def _input(self, one: _Schedule, due: datetime) -> Json:
        zone = one.plan.policy.timezone
        values = {
            "due": due.isoformat().replace("+00:00", "Z"),
            "local": due.astimezone(zone).isoformat(),
            "schedule": one.plan.kind.value,
            "reason": "due",
        }
        return fill(one.plan.policy.input, values)

    def _start(self, one: _Schedule, input: Json) -> None:
        skips = one.plan.policy.overlap is Overlap.SKIP and one.last is not None
        if skips and self._engine.is_running(self._engine.rows[one.last or ""]):
            return
        one.last = self._engine.insert(one.workflow_id, input)
        self.started.append(one.last)

    # -- events --------------------------------------------------------------------------------

    def _match(self, one: _Schedule, event: Event) -> None:
        of = event_groups.consumption(json_codec.dumps(dict(one.plan.timing)))
        matches = {} if of.is_never_due else dict(self._passed(of, event))
        if not matches:
            return None
        if of.takes_one:
            return self._start_with(one, of, [event])
        indexes = sorted(matches)
        key = event_groups.group_key(of, matches[indexes[0]])
        open = one.groups.setdefault(key, [])
        group, index = event_groups.oldest_incomplete(open, indexes)
        grown = event_groups.with_event(group, event.number, index)
        if group in open:
            open.remove(group)
        if event_groups.is_complete(of, grown):
            events = self._engine.matching.events
            return self._start_with(one, of, [events[n - 1] for n in grown.event_numbers])
        open.insert(0, grown)
        return None

    def _passed(self, of: Consumption, event: Event) -> Iterator[tuple[int, Values]]:
        for index, (_, filter) in enumerate(of.filters):
            values = self._values(filter, event)
            if values is not None and self._is_expected(of, values):
                yield index, values

    def _values(self, filter: EventFilter, event: Event) -> Values | None:
        if not filter.accepts_type(event.event["type"]):
            return None
        return self._engine.matching.values(filter, event.event, {})

    def _is_expected(self, of: Consumption, values: Mapping[str, Json]) -> bool:
        return all(
            equal_values(self._value_of(expected), values[name])
            for name, expected in of.expects.items()
            if name in values
        )

    def _value_of(self, expected: Json | Expression) -> Json:
        if not isinstance(expected, Expression):
            return expected
        try:
            now = {NOW: self._engine.now.timestamp()}
            return self._engine.evaluate(expected.program, None, now)
        except ExpressionError:
            return None

    def _start_with(self, one: _Schedule, of: Consumption, events: list[Event]) -> None:
        self._start(one, [content_for(of.read, event.event) for event in events])
