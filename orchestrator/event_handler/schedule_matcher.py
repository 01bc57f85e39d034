"""Starts instances of event-driven schedules, in the transaction that matches the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.database.connection.database import LockTimeout, Transaction
from orchestrator.database.events import event_group_queries, event_queries, match_queries
from orchestrator.database.events.event_group_queries import GroupRow
from orchestrator.database.events.event_queries import UnmatchedEvent
from orchestrator.database.schedules.schedule_queries import ScheduleRow, by_event
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.event_handler import event_groups
from orchestrator.event_handler.compiled_event_filter import EventFilter, equal_values
from orchestrator.event_handler.event_groups import Consumption, Group
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.listener_event_data import content_for
from orchestrator.event_handler.listener_state import Values
from orchestrator.ids import new_id
from orchestrator.log import get_logger
from orchestrator.scheduler.schedules.schedule_management import trigger_by_event
from orchestrator.settings import variable

log = get_logger(__name__)

#: Groups that one schedule may have open, and events in one of them.
GROUPS = 10_000
MEMBERS = 1000

#: Why a schedule gathers no more.
_FULL = f"it has gathered as many bytes as an input may have ({variable('max_payload')})"


class ScheduleMatcher:
    """Gives the events of one round to the schedules of its namespace."""

    def __init__(
        self, transaction: Transaction, namespace: str, judge: FilterEvaluator, payload: int
    ) -> None:
        self._transaction = transaction
        self._namespace = namespace
        self._judge = judge
        self._payload = payload
        #: The instances to be hinted.
        self.instances_to_hint: list[str] = []

    def match_events(self, waiting: Sequence[UnmatchedEvent]) -> None:
        """Let events make schedules due; raises `Stuck`."""
        broadcast = [event for event in waiting if event.target is None]
        rows = by_event(self._transaction, self._namespace) if broadcast else []
        for event in broadcast:
            for row in rows:
                self._give(row, event_groups.consumption(row.timing), event)

    def _give(self, row: ScheduleRow, of: Consumption, event: UnmatchedEvent) -> None:
        if of.never or event.number <= (row.heard_from or 0):
            return None
        until = self._hits(of, of.until, event)
        hits = {} if until else self._hits(of, of.filters, event)
        if hits and of.once:
            return self._start(row, of, f"event:{event.number}", [event.number])
        if not hits and not until:
            return None
        places = sorted(until or hits)
        key = event_groups.key(of, (until or hits)[places[0]])
        found = event_group_queries.of_key(self._transaction, row.id, key)
        open = [Group(one.id, tuple(one.members), tuple(one.matched_filters), tuple(one.ended_by))
                for one in found]  # fmt: skip
        if of.mode == "all":
            return self._gather(row, of, key, open, event, places)
        group = open[0] if open else Group(None)
        if until:
            return self._end(row, of, key, group, places)
        return self._collect(row, of, key, group, event)

    def _hits(
        self, of: Consumption, filters: Sequence[tuple[str, EventFilter]], event: UnmatchedEvent
    ) -> dict[int, Values]:
        found = {}
        for place, (id, filter) in enumerate(filters):
            values = (
                self._judge.values(id, filter, event) if filter.accepts_type(event.type) else None
            )
            if values is not None and self._expected(of, values):
                found[place] = values
        return found

    def _expected(self, of: Consumption, values: Mapping[str, Json]) -> bool:
        return all(
            equal_values(self._value_of(expected), values[name])
            for name, expected in of.expects.items()
            if name in values
        )

    def _value_of(self, expected: Json | Expression) -> Json:
        return (
            self._judge.evaluate(expected, None) if isinstance(expected, Expression) else expected
        )

    def _gather(
        self,
        row: ScheduleRow,
        of: Consumption,
        key: str,
        open: Sequence[Group],
        event: UnmatchedEvent,
        places: Sequence[int],
    ) -> None:
        """`all`: one event for each filter."""
        group, place = event_groups.oldest_incomplete(open, places)
        group = event_groups.with_event(group, event.number, place)
        if self._is_too_large(group.members):
            return self._drop(row, _FULL)
        if event_groups.is_complete(of, group):
            return self._complete(row, of, group)
        return self._save_group(row, key, group)

    def _collect(
        self, row: ScheduleRow, of: Consumption, key: str, group: Group, event: UnmatchedEvent
    ) -> None:
        """`any` with an `until`: one more."""
        if len(group.members) >= MEMBERS:
            return self._drop(row, "it has gathered as many as it may")
        group = event_groups.with_event(group, event.number)
        if self._is_too_large(group.members):
            return self._drop(row, _FULL)
        if of.until_expression is not None:
            answer = self._judge.evaluate(of.until_expression, self._read(of, group.members))
            if answer is not None and answer is not False:
                return self._complete(row, of, group)
        return self._save_group(row, key, group)

    def _end(
        self, row: ScheduleRow, of: Consumption, key: str, group: Group, places: Sequence[int]
    ) -> None:
        """`any` with an `until` of events: one of those."""
        group, over = event_groups.with_end(of, group, places)
        if not over:
            return self._save_group(row, key, group)
        if group.members:
            return self._complete(row, of, group)
        return event_group_queries.remove(self._transaction, [group.id] if group.id else [])

    def _save_group(self, row: ScheduleRow, key: str, group: Group) -> None:
        if (
            group.id is None
            and event_group_queries.count(self._transaction, row.id, GROUPS) >= GROUPS
        ):
            return self._drop(row, "it has as many groups as it may")
        kept = GroupRow(
            group.id or new_id(), list(group.members), list(group.got), list(group.ended_by)
        )
        return event_group_queries.save(self._transaction, row.id, key, kept)

    def _is_too_large(self, members: Sequence[int]) -> bool:
        """Whether several events are more than one input may be; one alone was measured."""
        return (
            len(members) > 1 and event_queries.bytes_of(self._transaction, members) > self._payload
        )

    def _drop(self, row: ScheduleRow, why: str) -> None:
        log.warning(
            "A schedule cannot gather an event", action="event_dropped", schedule=row.id, why=why
        )

    def _complete(self, row: ScheduleRow, of: Consumption, group: Group) -> None:
        if group.id is not None:
            event_group_queries.remove(self._transaction, [group.id])
        self._start(row, of, f"events:{'-'.join(map(str, group.members))}"[:200], group.members)

    def _read(self, of: Consumption, members: Sequence[int]) -> list[Json]:
        known = event_queries.by_receipt_numbers(self._transaction, members)
        return [content_for(of.read, known[number].event) for number in members if number in known]

    def _start(self, row: ScheduleRow, of: Consumption, key: str, members: Sequence[int]) -> None:
        """One schedule that cannot start holds up no other, and no listener."""
        given = self._read(of, members)
        self._transaction.all("savepoint start")
        try:
            told = trigger_by_event(self._transaction, row.id, key, given, max(members))
        except (LockTimeout, DatabaseUnavailable):
            raise
        except OrchestratorError as error:
            self._transaction.all("rollback to savepoint start")
            log.warning(
                "A schedule cannot start", action="start_failed", schedule=row.id, error=str(error)
            )
            return
        self._transaction.all("release savepoint start")
        self.instances_to_hint += told
        match_queries.started(self._transaction, row.id, key, members)
