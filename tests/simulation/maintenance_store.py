"""The statements of the beats and the workers' main processes on the simulated database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from orchestrator.core.model import Status, StimulusKind
from orchestrator.database.transitions import inbox_queries
from orchestrator.database.transitions.inbox_queries import OverdueStimulus
from orchestrator.database.workers.unclaimed_attempts import WINDOW, PublishableAttempt
from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.scheduler.schedules.due_schedules import FiredSchedules
from orchestrator.start_requests.outbox_mover import MovedStarts
from tests.simulation.broker import QUEUES
from tests.simulation.database import SimDatabase, stamped
from tests.simulation.rows import CLAIMED, READY, AttemptRow, WorkerRow

PORTION = 200
_WHILE_SUSPENDED = (StimulusKind.COMMAND.value, StimulusKind.RESULT.value)


class SimMaintenanceStore:
    """The simulated `MaintenanceStore`, and the statements of heartbeats."""

    def __init__(self, database: SimDatabase) -> None:
        self.database = database
        self.tables = database.tables

    # -- beats -------------------------------------------------------------------------------

    def fire_timers(self) -> Sequence[str]:
        return self.database.statement("timers", self._fire_timers, polls=True)

    def _fire_timers(self) -> Sequence[str]:
        tables = self.tables
        now = tables.clock()
        due = [(at, key) for key, at in tables.timers.items() if at <= now]
        if not due:
            return ()
        due.sort()
        del due[PORTION:]
        for at, (instance, step, kind) in due:
            rows = tables.instances[instance]
            if tables.watch is not None:
                tables.watch.fires(rows, step, kind, at)
            del tables.timers[instance, step, kind], rows.timers[step, kind]
            tables.put(instance, StimulusKind.TIMER, step or None, data={"kind": kind})
        return tuple(dict.fromkeys(key[0] for _, key in due))

    def fire_schedules(self) -> FiredSchedules:
        return FiredSchedules(0, [])

    def move_starts(self) -> MovedStarts:
        return MovedStarts()

    def continue_schedules(self) -> FiredSchedules:
        return FiredSchedules(0, [])

    def shortest_wait(self) -> float | None:
        return None

    def next_due(self) -> float | None:
        return self.database.statement("next due", self._next_due, polls=True)

    def _next_due(self) -> float | None:
        timers = self.tables.timers
        return min(timers.values()) - self.tables.clock() if timers else None

    def is_idle(self) -> bool:
        return self.database.statement("at rest", self._at_rest, polls=True)

    def _at_rest(self) -> bool:
        return not self.tables.waiting and not any(
            row.value.state in (READY, CLAIMED) for row in self.tables.live.values()
        )

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        return self.database.statement("claimed", self._claimed, polls=True)

    def _claimed(self) -> Sequence[ClaimedAttemptRow]:
        workers = self.tables.workers
        found = []
        for id, row in self.tables.live.items():
            if row.value.state is CLAIMED:
                worker = workers.get(row.worker or "")
                alive = worker is not None and not worker.stopped
                count = worker.heartbeat_count if worker is not None and alive else None
                in_flight = worker is not None and id in worker.in_flight
                found.append(
                    ClaimedAttemptRow(
                        id, row.instance, row.value.step, row.worker, count, in_flight
                    )
                )
        return found

    def lost_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        return self.database.statement(
            "lost messages", lambda: self._lost_messages(patience), polls=True
        )

    def _lost_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        tables, now = self.tables, self.tables.clock()
        waiting = [row for row in tables.live.values() if row.value.state is READY]
        if not waiting:
            return ()
        tables.claims = [row for row in tables.claims if (row.claimed_at or 0.0) > now - WINDOW]
        locked = self.database.locked_attempts
        lost = [
            row
            for row in waiting
            if not row.value.withdrawn and row.value.id not in locked and self._lost(row, patience)
        ]
        return [stamped(row, now) for row in lost]

    def refused_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        return ()  # its workers are of processes, which run everything

    def _lost(self, row: AttemptRow, patience: float) -> bool:
        """As `attempts.to_publish_again` says it."""
        now = self.tables.clock()
        mine = min(patience * 2 ** max(row.publish_count - 1, 0), WINDOW)
        since = row.created_at if row.published_at is None else row.published_at
        if since >= now - mine:
            return False
        lately = [one for one in self.tables.claims if one.queue == row.queue]
        if row.published_at is None:
            if not self._others_published(row):
                return True
        elif any(
            one.published_at is not None
            and one.published_at > row.published_at
            and (one.claimed_at or 0.0) < now - patience
            for one in lately
        ):
            return True
        quiet = not any((one.claimed_at or 0.0) > now - mine for one in lately)
        return quiet and any(self._is_free(worker, row, patience) for worker in self._workers())

    def _others_published(self, row: AttemptRow) -> bool:
        """Whether more of the instance's wave is still to be claimed."""
        return any(
            one.instance == row.instance
            and one.value.state is READY
            and one.queue == row.queue
            and one.published_at is not None
            for one in self.tables.live.values()
        )

    def _workers(self) -> Sequence[WorkerRow]:
        return list(self.tables.workers.values())

    def _is_free(self, worker: WorkerRow, row: AttemptRow, patience: float) -> bool:
        alive = not worker.stopped and not worker.stopping
        lately = worker.last_heartbeat_at > self.tables.clock() - patience
        return alive and lately and worker.free_slots > 0 and row.queue in worker.queues

    def count_pending(self, notes: Sequence[int]) -> int:
        return self.database.statement("overdue", lambda: self._waiting(notes), polls=True)

    def _waiting(self, notes: Sequence[int]) -> int:
        inboxes = [rows.inbox for rows in self.tables.instances.values()]
        return sum(any(note in inbox for inbox in inboxes) for note in notes)

    def overdue_stimuli(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        return self.database.statement("overdue", lambda: self._overdue(seconds, limit), polls=True)

    def _overdue(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        if not self.tables.waiting:
            return ()
        now = self.tables.clock()
        late: list[tuple[float, int, str, dict[str, Any]]] = []
        for id, rows in self.tables.instances.items():
            suspended = rows.value.status is Status.SUSPENDED
            for note, row in rows.inbox.items():
                created = row["created_at"]
                since = created if row["hinted_at"] is None else row["hinted_at"]
                wait = max(seconds, min(since - created, inbox_queries.MAX_HINT_INTERVAL))
                takeable = not suspended or row["kind"] in _WHILE_SUSPENDED
                if since + wait < now and takeable and not self.tables.leased(id):
                    late.append((since, note, id, row))
        late.sort(key=lambda one: one[:2], reverse=True)
        newest = (limit + 1) // 2
        found = late[:newest] + late[max(newest, len(late) - limit // 2) :]
        for *_, row in found:
            row["hinted_at"] = now
        return [OverdueStimulus(note, id) for _, note, id, _ in found]

    def purge_workers(self) -> None:
        return None

    def purge(self, ledger: timedelta, answers: timedelta) -> None:
        return None

    # -- workers -----------------------------------------------------------------------------

    def register(self, worker: str) -> None:
        """`workers.register`."""
        self.database.statement("register", lambda: self._register(worker))

    def _register(self, worker: str) -> None:
        self.tables.workers.setdefault(worker, WorkerRow(QUEUES)).stopped = False

    def heartbeat(
        self,
        worker: str,
        in_flight: Sequence[str],
        free_slots: int,
        deciding: Sequence[str] = (),
        lease: float = 0.0,
    ) -> bool:
        """`workers.heartbeat`, and `decision_lease_queries.renew`."""
        known = self.database.statement(
            "heartbeat", lambda: self._heartbeat(worker, in_flight, free_slots), polls=True
        )
        if deciding:
            self.database.statement(
                "renew leases", lambda: self._renew(worker, deciding, lease), polls=True
            )
        return known

    def _renew(self, worker: str, instances: Sequence[str], seconds: float) -> None:
        leases = self.tables.decision_leases
        for instance in instances:
            lease = leases.get(instance)
            if lease is not None and lease[1] == worker:
                leases[instance] = (*lease[:3], self.tables.clock() + seconds)

    def _heartbeat(self, worker: str, in_flight: Sequence[str], free_slots: int) -> bool:
        row = self.tables.workers.get(worker)
        if row is None:
            return False
        row.heartbeat_count += 1
        row.in_flight, row.free_slots, row.last_heartbeat_at = (
            tuple(in_flight),
            free_slots,
            self.tables.clock(),
        )
        row.stopped = False
        if self.tables.watch is not None:
            self.tables.watch.beats(worker, in_flight)
        return True
