"""Starts instances of event-driven schedules, in the transaction that matches the events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.database.connection.database import LockTimeout, Transaction
from orchestrator.database.events import (
    event_group_queries,
    event_matching_queries,
    event_offer_queries,
    event_queries,
)
from orchestrator.database.events.event_group_queries import GroupRow
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.database.schedules.schedule_queries import ScheduleRow, by_event
from orchestrator.database.workflows import instance_tree_queries
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.event_handler import event_groups
from orchestrator.event_handler.compiled_event_filter import EventFilter, equal_values
from orchestrator.event_handler.event_content import content_for
from orchestrator.event_handler.event_groups import Consumption, Group
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.listener_state import Values
from orchestrator.ids import new_id
from orchestrator.log import get_logger
from orchestrator.scheduler.schedules.schedule_management import trigger_by_event
from orchestrator.settings import variable

log = get_logger(__name__)

#: Largest number of open groups of a schedule, and of events in a group.
GROUPS = 10_000
MEMBERS = 1000

#: Logged if a group's events exceed the largest input.
_FULL = f"the group's events would exceed the largest input ({variable('max_payload')})"


class ScheduleMatcher:
    """Matches the events of one round with the schedules of a namespace."""

    def __init__(
        self, transaction: Transaction, namespace: str, evaluator: FilterEvaluator, max_payload: int
    ) -> None:
        self._transaction = transaction
        self._namespace = namespace
        self._evaluator = evaluator
        self._max_payload = max_payload
        #: The instances to send hints to.
        self.instances_to_hint: list[str] = []

    def match_events(self, waiting: Sequence[UnmatchedEvent]) -> None:
        """Fire the schedules that events make due. Raises `EvaluatorFailed`."""
        broadcast = [event for event in waiting if event.target_instance is None]
        rows = by_event(self._transaction, self._namespace) if broadcast else []
        for event in broadcast:
            for row in rows:
                self._match(row, event_groups.consumption(row.timing), event)

    def matching(self, event: UnmatchedEvent) -> Iterator[tuple[ScheduleRow, bool]]:
        """Yield the schedules that an event matches, each with whether it is enough to start an
        instance. Changes nothing. Raises `EvaluatorFailed`."""
        if event.target_instance is not None:
            return
        for row in by_event(self._transaction, self._namespace):
            of = event_groups.consumption(row.timing)
            if of.is_never_due or event.receipt_number <= (row.heard_from or 0):
                continue
            if self._matching_filters(of, of.until, event):
                yield row, False
            elif self._matching_filters(of, of.filters, event):
                yield row, of.takes_one

    def _match(self, row: ScheduleRow, of: Consumption, event: UnmatchedEvent) -> None:
        if of.is_never_due or event.receipt_number <= (row.heard_from or 0):
            return None
        until = self._matching_filters(of, of.until, event)
        matches = {} if until else self._matching_filters(of, of.filters, event)
        if matches and of.takes_one:
            return self._start(row, of, f"event:{event.receipt_number}", [event.receipt_number])
        if not matches and not until:
            return None
        indexes = sorted(until or matches)
        key = event_groups.group_key(of, (until or matches)[indexes[0]])
        rows = event_group_queries.of_key(self._transaction, row.id, key)
        open = [
            Group(one.id, tuple(one.event_numbers), tuple(one.matched_filters), tuple(one.ended_by))
            for one in rows
        ]
        if of.mode == "all":
            return self._gather(row, of, key, open, event, indexes)
        group = open[0] if open else Group(None)
        if until:
            return self._on_until_event(row, of, key, group, indexes)
        return self._collect(row, of, key, group, event)

    def _matching_filters(
        self, of: Consumption, filters: Sequence[tuple[str, EventFilter]], event: UnmatchedEvent
    ) -> dict[int, Values]:
        matches = {}
        for index, (id, filter) in enumerate(filters):
            values = (
                self._evaluator.correlation_values_if_passing(id, filter, event)
                if filter.accepts_type(event.type)
                else None
            )
            if values is not None and self._is_expected(of, values):
                matches[index] = values
        return matches

    def _is_expected(self, of: Consumption, values: Mapping[str, Json]) -> bool:
        return all(
            equal_values(self._value_of(expected), values[name])
            for name, expected in of.expects.items()
            if name in values
        )

    def _value_of(self, expected: Json | Expression) -> Json:
        return (
            self._evaluator.evaluate(expected, None)
            if isinstance(expected, Expression)
            else expected
        )

    def _gather(
        self,
        row: ScheduleRow,
        of: Consumption,
        key: str,
        open: Sequence[Group],
        event: UnmatchedEvent,
        indexes: Sequence[int],
    ) -> None:
        """Add an event to a group with `all`: one event for each filter."""
        group, index = event_groups.oldest_incomplete(open, indexes)
        group = event_groups.with_event(group, event.receipt_number, index)
        if self._is_too_large(group.event_numbers):
            return self._drop(row, _FULL)
        if event_groups.is_complete(of, group):
            return self._complete(row, of, group)
        return self._save_group(row, key, group)

    def _collect(
        self, row: ScheduleRow, of: Consumption, key: str, group: Group, event: UnmatchedEvent
    ) -> None:
        """Add an event to a group with `any` and an `until`."""
        if len(group.event_numbers) >= MEMBERS:
            return self._drop(row, "the group has its largest number of events")
        group = event_groups.with_event(group, event.receipt_number)
        if self._is_too_large(group.event_numbers):
            return self._drop(row, _FULL)
        if of.until_expression is not None:
            answer = self._evaluator.evaluate(
                of.until_expression, self._read(of, group.event_numbers)
            )
            if answer is not None and answer is not False:
                return self._complete(row, of, group)
        return self._save_group(row, key, group)

    def _on_until_event(
        self, row: ScheduleRow, of: Consumption, key: str, group: Group, indexes: Sequence[int]
    ) -> None:
        """Handle an event of the `until` of a group with `any`."""
        group, over = event_groups.with_end(of, group, indexes)
        if not over:
            return self._save_group(row, key, group)
        if group.event_numbers:
            return self._complete(row, of, group)
        return event_group_queries.remove(self._transaction, [group.id] if group.id else [])

    def _save_group(self, row: ScheduleRow, key: str, group: Group) -> None:
        if (
            group.id is None
            and event_group_queries.count(self._transaction, row.id, GROUPS) >= GROUPS
        ):
            return self._drop(row, "the schedule has its largest number of groups")
        row_of_group = GroupRow(
            group.id or new_id(),
            list(group.event_numbers),
            list(group.matched_filters),
            list(group.ended_by),
        )
        return event_group_queries.save(self._transaction, row.id, key, row_of_group)

    def _is_too_large(self, members: Sequence[int]) -> bool:
        """Whether several events exceed the largest input. The API has checked single events."""
        return (
            len(members) > 1
            and event_queries.bytes_of(self._transaction, members) > self._max_payload
        )

    def _drop(self, row: ScheduleRow, reason: str) -> None:
        log.warning(
            "A schedule can't collect an event",
            action="event_dropped",
            schedule=row.id,
            reason=reason,
        )

    def _complete(self, row: ScheduleRow, of: Consumption, group: Group) -> None:
        if group.id is not None:
            event_group_queries.remove(self._transaction, [group.id])
        self._start(
            row, of, f"events:{'-'.join(map(str, group.event_numbers))}"[:200], group.event_numbers
        )

    def _read(self, of: Consumption, members: Sequence[int]) -> list[Json]:
        events = event_matching_queries.by_receipt_numbers(self._transaction, members)
        return [
            content_for(of.read, events[number].event) for number in members if number in events
        ]

    def _inherit(self, members: Sequence[int], instances: Sequence[str]) -> None:
        """Make the started instance part of the tree of the last event's instance."""
        events = event_matching_queries.by_receipt_numbers(self._transaction, members)
        last = events.get(max(members))
        source = last.instance if last is not None else None
        if source is None or not instances:
            return
        if not instance_tree_queries.inherit(self._transaction, source, instances[0]):
            raise OrchestratorError("the instances that its events start have started too many")

    def _start(self, row: ScheduleRow, of: Consumption, key: str, members: Sequence[int]) -> None:
        """Start an instance. A savepoint keeps a failure from blocking other schedules and
        listeners."""
        input = self._read(of, members)
        self._transaction.all("savepoint start")
        try:
            instances = trigger_by_event(self._transaction, row.id, key, input, max(members))
            self._inherit(members, instances)
        except (LockTimeout, DatabaseUnavailable):
            raise
        except OrchestratorError as error:
            self._transaction.all("rollback to savepoint start")
            log.warning(
                "A schedule failed to start its instance",
                action="start_failed",
                schedule=row.id,
                error=str(error),
            )
            return
        self._transaction.all("release savepoint start")
        self.instances_to_hint += instances
        event_offer_queries.record_starts(self._transaction, row.id, key, members)
