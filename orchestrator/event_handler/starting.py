"""Starts instances of event-driven schedules, in the transaction that matches the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.core.templates import Expression
from orchestrator.core.values import Json
from orchestrator.database import events, groups, matches
from orchestrator.database.connection import Busy
from orchestrator.database.events import Waiting
from orchestrator.database.groups import GroupRow
from orchestrator.database.schedules import ScheduleRow, by_event
from orchestrator.database.slices import Reader
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.event_handler import gathering
from orchestrator.event_handler.cloud_events import read
from orchestrator.event_handler.filters import Filter, same
from orchestrator.event_handler.gathering import Consumption, Group
from orchestrator.event_handler.judging import Judge
from orchestrator.event_handler.standing import Values
from orchestrator.ids import new_id
from orchestrator.log import get_logger
from orchestrator.scheduler.schedules import occurred
from orchestrator.settings import variable

log = get_logger(__name__)

#: Groups that one schedule may have open, and events in one of them.
GROUPS = 10_000
MEMBERS = 1000

#: Why a schedule gathers no more.
_FULL = f"it has gathered as many bytes as an input may have ({variable('max_payload')})"


class Starting:
    """Gives the events of one round to the schedules of its namespace."""

    def __init__(self, cursor: Reader, namespace: str, judge: Judge, payload: int) -> None:
        self._cursor = cursor
        self._namespace = namespace
        self._judge = judge
        self._payload = payload
        #: The instances to be hinted.
        self.told: list[str] = []

    def give(self, waiting: Sequence[Waiting]) -> None:
        """Let events make schedules due; raises `Stuck`."""
        broadcast = [event for event in waiting if event.target is None]
        rows = by_event(self._cursor, self._namespace) if broadcast else []
        for event in broadcast:
            for row in rows:
                self._give(row, gathering.consumption(row.timing), event)

    def _give(self, row: ScheduleRow, of: Consumption, event: Waiting) -> None:
        if of.never or event.number <= (row.heard_from or 0):
            return None
        until = self._hits(of, of.until, event)
        hits = {} if until else self._hits(of, of.filters, event)
        if hits and of.once:
            return self._start(row, of, f"event:{event.number}", [event.number])
        if not hits and not until:
            return None
        places = sorted(until or hits)
        key = gathering.key(of, (until or hits)[places[0]])
        found = groups.of_key(self._cursor, row.id, key)
        open = [Group(one.id, tuple(one.members), tuple(one.got), tuple(one.ended_by))
                for one in found]  # fmt: skip
        if of.mode == "all":
            return self._gather(row, of, key, open, event, places)
        group = open[0] if open else Group(None)
        if until:
            return self._end(row, of, key, group, places)
        return self._collect(row, of, key, group, event)

    def _hits(
        self, of: Consumption, filters: Sequence[tuple[str, Filter]], event: Waiting
    ) -> dict[int, Values]:
        found = {}
        for place, (id, filter) in enumerate(filters):
            values = self._judge.values(id, filter, event) if filter.takes(event.type) else None
            if values is not None and self._expected(of, values):
                found[place] = values
        return found

    def _expected(self, of: Consumption, values: Mapping[str, Json]) -> bool:
        return all(
            same(self._judge.ask(wanted, None) if isinstance(wanted, Expression) else wanted,
                 values[name])
            for name, wanted in of.expects.items() if name in values
        )  # fmt: skip

    def _gather(
        self,
        row: ScheduleRow,
        of: Consumption,
        key: str,
        open: Sequence[Group],
        event: Waiting,
        places: Sequence[int],
    ) -> None:
        """`all`: one event for each filter."""
        group, place = gathering.lacking(open, places)
        group = gathering.joined(group, event.number, place)
        if self._is_too_large(group.members):
            return self._drop(row, _FULL)
        if gathering.is_complete(of, group):
            return self._complete(row, of, group)
        return self._keep(row, key, group)

    def _collect(
        self, row: ScheduleRow, of: Consumption, key: str, group: Group, event: Waiting
    ) -> None:
        """`any` with an `until`: one more."""
        if len(group.members) >= MEMBERS:
            return self._drop(row, "it has gathered as many as it may")
        group = gathering.joined(group, event.number)
        if self._is_too_large(group.members):
            return self._drop(row, _FULL)
        if of.until_holds is not None:
            answer = self._judge.ask(of.until_holds, self._read(of, group.members))
            if answer is not None and answer is not False:
                return self._complete(row, of, group)
        return self._keep(row, key, group)

    def _end(
        self, row: ScheduleRow, of: Consumption, key: str, group: Group, places: Sequence[int]
    ) -> None:
        """`any` with an `until` of events: one of those."""
        group, over = gathering.ended(of, group, places)
        if not over:
            return self._keep(row, key, group)
        if group.members:
            return self._complete(row, of, group)
        return groups.remove(self._cursor, [group.id] if group.id else [])

    def _keep(self, row: ScheduleRow, key: str, group: Group) -> None:
        if group.id is None and groups.count(self._cursor, row.id, GROUPS) >= GROUPS:
            return self._drop(row, "it has as many groups as it may")
        kept = GroupRow(
            group.id or new_id(), list(group.members), list(group.got), list(group.ended_by)
        )
        return groups.save(self._cursor, row.id, key, kept)

    def _is_too_large(self, members: Sequence[int]) -> bool:
        """Whether several events are more than one input may be; one alone was measured."""
        return len(members) > 1 and events.bytes_of(self._cursor, members) > self._payload

    def _drop(self, row: ScheduleRow, why: str) -> None:
        log.warning(
            "A schedule cannot gather an event", action="event_dropped", schedule=row.id, why=why
        )

    def _complete(self, row: ScheduleRow, of: Consumption, group: Group) -> None:
        if group.id is not None:
            groups.remove(self._cursor, [group.id])
        self._start(row, of, f"events:{'-'.join(map(str, group.members))}"[:200], group.members)

    def _read(self, of: Consumption, members: Sequence[int]) -> list[Json]:
        known = events.by_numbers(self._cursor, members)
        return [read(of.read, known[number].event) for number in members if number in known]

    def _start(self, row: ScheduleRow, of: Consumption, key: str, members: Sequence[int]) -> None:
        """One schedule that cannot start holds up no other, and no listener."""
        given = self._read(of, members)
        self._cursor.all("savepoint start")
        try:
            told = occurred(self._cursor, row.id, key, given, max(members))
        except (Busy, DatabaseUnavailable):
            raise
        except OrchestratorError as error:
            self._cursor.all("rollback to savepoint start")
            log.warning(
                "A schedule cannot start", action="start_failed", schedule=row.id, error=str(error)
            )
            return
        self._cursor.all("release savepoint start")
        self.told += told
        matches.started(self._cursor, row.id, key, members)
