"""The rows of the simulated database, and the effect of each of the product's statements on them.

Every method is one statement and happens atomically: the Python equivalent of the functions and the
modules of `orchestrator.database`. The module `database` decides which session waits for which
lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import (
    ROOT,
    AttemptState,
    Instance,
    Json,
    Slice,
    Status,
    StimulusKind,
    Transition,
)
from orchestrator.database.connection.database import Fenced, Superseded
from orchestrator.database.transitions.history_row import stimulus_record
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.database.transitions.transition_writer import first_wave
from orchestrator.document.model import Workflow
from orchestrator.testing.instance_store import EPOCH
from tests.simulation.rows import (
    CLAIMED,
    LIVE,
    READY,
    WITHDRAWN,
    AttemptRow,
    HistoryRow,
    Rows,
    WorkerRow,
)

if TYPE_CHECKING:
    from tests.simulation.invariants import Watch

_WHILE_SUSPENDED = (StimulusKind.COMMAND.value, StimulusKind.RESULT.value)


class Tables:
    """Every table that the simulation needs."""

    def __init__(self, clock: Callable[[], float], watch: Watch | None = None) -> None:
        self.clock = clock
        self.watch = watch
        self.workflows: dict[str, Workflow] = {}
        self.instances: dict[str, Rows] = {}
        self.attempts: dict[str, AttemptRow] = {}
        self.live: dict[str, AttemptRow] = {}
        self.claims: list[AttemptRow] = []
        self.timers: dict[tuple[str, int, str], float] = {}
        self.workers: dict[str, WorkerRow] = {}
        self.answers: dict[str, str] = {}
        self.waiting = 0
        #: Of an instance: the token, the worker and the process of its lease, and its end.
        self.decision_leases: dict[str, tuple[str, str | None, int | None, float]] = {}
        self._stimuli = 0

    def now(self) -> datetime:
        """The database's clock."""
        return EPOCH + timedelta(seconds=self.clock())

    # -- starts and notes --------------------------------------------------------------------

    def deploy(self, document: dict[str, Any]) -> str:
        """A workflow version; its id."""
        workflow = Workflow(document)
        id = f"{workflow.namespace}/{workflow.name}/{workflow.version}"
        self.workflows[id] = workflow
        return id

    def start(self, id: str, workflow: str, input: Json, key: str | None = None) -> str:
        """`orchestrator.start_instances`: the instance that the key stands for."""
        if key is not None:
            if key in self.answers:
                return self.answers[key]
            self.answers[key] = id
        self._insert(id, workflow, input)
        return id

    def record(self, key: str, answer: str) -> None:
        """`idempotency.record`."""
        self.answers[key] = answer

    def put_once(self, key: str, instance: str, data: Json) -> str:
        """A command left as a note, with the record of its answer: the answer of the key."""
        if key not in self.answers:
            self.record(key, "left")
            self.put(instance, StimulusKind.COMMAND, data=data)
        return self.answers[key]

    def _insert(self, id: str, workflow: str, input: Json, **more: Any) -> None:
        compiled = self.workflows[workflow]
        assert id not in self.instances
        self.instances[id] = Rows(
            Instance(id, compiled.namespace, workflow, input=input, created_at=self.now(), **more),
            compiled,
            more.get("state"),
        )
        self.put(id, StimulusKind.START)

    def put(
        self,
        instance: str,
        kind: StimulusKind,
        step: int | None = None,
        attempt: str | None = None,
        data: Json = None,
        key: str | None = None,
    ) -> None:
        """`stimuli.put`."""
        inbox = self.instances[instance].inbox
        if key is not None and any(row["key"] == key for row in inbox.values()):
            return
        if self.watch is not None and key is not None and key.startswith("lost:"):
            self.watch.loses(str(attempt))
        self._stimuli += 1
        self.waiting += 1
        inbox[self._stimuli] = {
            "id": self._stimuli,
            "kind": kind.value,
            "step": step,
            "attempt": attempt,
            "data": data,
            "key": key,
            "created_at": self.clock(),
            "hinted_at": None,
            "begun": 0,
        }

    def delete_stimulus(self, stimulus: int) -> None:
        """`stimuli.forget`."""
        for rows in self.instances.values():
            if rows.inbox.pop(stimulus, None) is not None:
                self.waiting -= 1

    def takeable(self, rows: Rows) -> dict[str, Any] | None:
        """The oldest stimulus that may be taken now."""
        if rows.value.status is not Status.SUSPENDED:
            return next(iter(rows.inbox.values()), None)
        found = (row for row in rows.inbox.values() if row["kind"] in _WHILE_SUSPENDED)
        return next(found, None)

    # -- reading -----------------------------------------------------------------------------

    def read_slice(
        self, instance: str, step: int, attempt: str | None = None, stimulus: Any = None
    ) -> Snapshot:
        """`orchestrator.read_slice`."""
        rows = self.instances[instance]
        row = self.attempts.get(attempt) if attempt else None
        slice = Slice(rows.value, rows.chain(step), row.value if row else None)
        return Snapshot(slice, len(rows.inbox), self.now(), stimulus)

    def leased(self, instance: str, token: str = "") -> bool:
        """Whether another token has the lease on an instance's decisions."""
        lease = self.decision_leases.get(instance)
        return lease is not None and lease[0] != token and lease[3] > self.clock()

    def take_decision_lease(
        self,
        instance: str,
        stimulus: int,
        token: str,
        worker: str | None,
        process: int | None,
        seconds: float,
    ) -> tuple[bool, int | None]:
        """`decision_lease_queries.take`."""
        if self.leased(instance, token):
            return False, None
        self.decision_leases[instance] = (token, worker, process, self.clock() + seconds)
        row = self.instances[instance].inbox.get(stimulus)
        if row is None:
            return True, None
        row["begun"] += 1
        return True, row["begun"]

    def end_decision_lease(self, instance: str, token: str, stimulus: int | None = None) -> None:
        """`decision_lease_queries.end`; without a stimulus the end by a save."""
        if self.decision_leases.get(instance, ("",))[0] != token:
            return
        del self.decision_leases[instance]
        row = self.instances[instance].inbox.get(stimulus) if stimulus is not None else None
        if row is not None:
            row["begun"] -= 1

    def read_inbox(self, instance: str, token: str = "") -> Snapshot | None:
        """`orchestrator.read_inbox`."""
        if self.leased(instance, token):
            return None
        rows = self.instances.get(instance)
        first = self.takeable(rows) if rows else None
        if first is None:
            return None
        return self.read_slice(instance, first["step"] or ROOT, first["attempt"], dict(first))

    # -- attempts ----------------------------------------------------------------------------

    def claim(
        self, attempt: str, instance: str, task: str, worker: str, process: int, token: str
    ) -> Snapshot | None:
        """`orchestrator.claim_attempt`."""
        row = self.attempts.get(attempt)
        if row is None:
            return None
        one = row.value
        free = one.state is READY and not one.withdrawn
        if free and one.task == task and row.instance == instance:
            self._take(row, worker, process, token)
        elif not (one.state is CLAIMED and row.token == token):
            return None
        return self.read_slice(row.instance, one.step, attempt)

    def _take(self, row: AttemptRow, worker: str, process: int, token: str) -> None:
        row.take(worker, process, token, self.clock())
        self.claims.append(row)
        if self.watch is not None:
            self.watch.claimed(self.instances[row.instance], row)

    def take_next(
        self,
        instance: str,
        task: str,
        queue: str,
        worker: str,
        process: int,
        token: str,
        locked: Iterable[str],
    ) -> Snapshot | None:
        """`orchestrator.claim_sibling`, the newest; rows that are locked are passed over."""
        found = [
            row
            for id, row in self.live.items()
            if row.instance == instance
            and row.value.state is READY
            and not row.value.withdrawn
            and row.value.task == task
            and row.queue == queue
            and id not in locked
        ]
        if not found:
            return None
        row = max(found, key=lambda row: row.value.id)
        self._take(row, worker, process, token)
        return self.read_slice(instance, row.value.step, row.value.id)

    def end_attempt(self, attempt: str, state: AttemptState) -> None:
        """`attempts.end`, and what a save does with each attempt that ends."""
        row = self.attempts[attempt]
        if row.value.state in LIVE:
            if self.watch is not None:
                self.watch.ends(row, state)
            row.value = replace(row.value, state=state)
            del self.live[attempt]

    # -- saving ------------------------------------------------------------------------------

    def save(self, saving: SaveRequest) -> None:
        """`orchestrator.save_transition` and the statements that follow it: all or nothing."""
        rows = self.instances[saving.instance_before.id]
        self._guard(rows, saving)
        if self.watch is not None:
            self.watch.saves(rows, saving)
        if saving.stimulus.id is not None:
            del rows.inbox[saving.stimulus.id]
            self.waiting -= 1
        if saving.lease is not None:
            self.end_decision_lease(rows.value.id, saving.lease)
        self._apply(rows, saving)
        self._apply_rare(rows, saving.transition)
        if self.watch is not None:
            self.watch.saved(rows, saving)

    def _guard(self, rows: Rows, saving: SaveRequest) -> None:
        if rows.value.sequence != saving.instance_before.sequence:
            raise Superseded
        if saving.stimulus.id is not None and saving.stimulus.id not in rows.inbox:
            raise Superseded
        if saving.fence is not None:
            row = self.attempts.get(saving.fence.attempt)
            if row is None or row.value.state is not CLAIMED or row.token != saving.fence.token:
                raise Fenced

    def _apply(self, rows: Rows, saving: SaveRequest) -> None:
        change, stimulus, before = saving.transition, saving.stimulus, rows.value
        sequence = before.sequence + 1
        rows.history.append(
            HistoryRow(
                sequence,
                stimulus.at,
                stimulus.seed,
                stimulus_record(stimulus, saving.slice, change),
                change.facts,
            )
        )
        after = change.instance
        if after.sequence != sequence or after.input is not before.input:
            after = replace(after, sequence=sequence, input=before.input)
        rows.value = after
        for end in change.ended:
            self.end_attempt(end.attempt, end.state)
        for step in change.changed:
            rows.steps[step.id] = step
        for step in change.created:
            assert step.id not in rows.steps, "unique (instance_id, id)"
            rows.steps[step.id] = step
        now, taken = self.clock(), saving.local_claim
        wave = first_wave(change, taken.attempt if taken else None, saving.queue_of)
        for attempt in change.attempts:
            assert attempt.id not in self.attempts, "unique (id)"
            queue = attempt.queue or saving.queue_of(attempt)
            row = AttemptRow(after.id, replace(attempt, queue=queue), queue, now)
            rows.attempts.append(row)
            self.attempts[attempt.id] = self.live[attempt.id] = row
            if taken is not None and taken.attempt == attempt.id:
                self._take(row, taken.worker, taken.process, taken.token)
            elif attempt in wave:
                row.published_at, row.publish_count = now, 1

    def _withdraw(self, rows: Rows, steps: tuple[int, ...]) -> None:
        for row in rows.attempts:
            if row.value.step in steps and row.value.state in LIVE:
                row.value = replace(row.value, withdrawn=True)
                if row.value.state is READY:
                    self.end_attempt(row.value.id, WITHDRAWN)

    def _apply_rare(self, rows: Rows, change: Transition) -> None:
        if change.withdrawn:
            self._withdraw(rows, change.withdrawn)
        for key in [key for key in rows.timers if key[0] in change.timers_removed]:
            del rows.timers[key], self.timers[rows.value.id, *key]
        for step in change.listeners_removed:
            rows.listeners.pop(step, None)
        for timer in change.timers:
            due = (timer.due_at - EPOCH).total_seconds()
            rows.timers[timer.step, timer.kind.value] = due
            self.timers[rows.value.id, timer.step, timer.kind.value] = due
        for listener in change.listeners:
            rows.listeners[listener.step] = listener
        for chunk in change.chunks:
            rows.chunks[chunk.step, chunk.index] = chunk
        for child in change.children:
            parent = (rows.value.id, child.parent_step) if child.parent_step else (None, None)
            more = {"parent_instance": parent[0], "parent_step": parent[1]}
            self._insert(child.id, child.workflow_id, child.input, state=child.state, **more)
        for note in change.stimuli:
            self.put(note.instance or rows.value.id, note.kind, note.step, None, note.data)
        rows.letters += change.dead_letters
        rows.letters_closed += change.letters_closed
        for step in change.pruned:
            self._prune(rows, step)

    def _prune(self, rows: Rows, id: int) -> None:
        for child in [step.id for step in rows.steps.values() if step.parent == id]:
            self._prune(rows, child)
        rows.steps.pop(id, None)
        for row in [row for row in rows.attempts if row.value.step == id]:
            rows.attempts.remove(row)
            self.attempts.pop(row.value.id)
            self.live.pop(row.value.id, None)


class Scratch(Tables):
    """One instance as an open transaction sees it; what it tells others is left to the commit."""

    def __init__(self, real: Tables, instance: str) -> None:
        super().__init__(real.clock)
        self.workflows = real.workflows
        rows = self.instances[instance] = real.instances[instance].copy()
        self.attempts = {row.value.id: row for row in rows.attempts}
        self.live = {id: row for id, row in self.attempts.items() if row.value.state in LIVE}
        self.timers = {key: due for key, due in real.timers.items() if key[0] == instance}

    def put(self, instance: str, *given: Any, **more: Any) -> None:
        """Notes to others are theirs."""
        if instance in self.instances:
            super().put(instance, *given, **more)
