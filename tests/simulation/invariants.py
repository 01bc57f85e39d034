"""The invariants that must hold at every change of the database, and at the end (DESIGN,
Invariants)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from orchestrator.core.legal_status_changes import ATTEMPT, COMPENSATION, INSTANCE, STEP
from orchestrator.core.model import (
    OPEN_STATUSES,
    ROOT,
    AttemptState,
    Compensation,
    Status,
    Step,
    StimulusKind,
)
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.scheduler import lease_watchdog
from orchestrator.state_manager import ClaimedAttempt
from tests.simulation import dead_letter_invariants
from tests.simulation.rows import CLAIMED, LIVE, AttemptRow, Rows
from tests.simulation.simulated_clock import Process
from tests.simulation.tables import Tables

#: The share of a lease that a silence may seem longer than it was: a watchdog that was kept from
#: the database counts so much of an outage that nobody could beat in.
SILENCE = 1 - lease_watchdog.MAX_GAP_SHARE


class Violated(AssertionError):
    """An invariant does not hold."""


#: A transition's time may be this much before its commit, in s: its worker may be stopped.
LATE = 120.0

#: What was violated so far: the product may catch what is raised in it.
VIOLATIONS: list[Violated] = []


def require(condition: object, invariant: str, *told: object) -> None:
    """Raises `Violated`."""
    if not condition:
        VIOLATIONS.append(Violated(invariant + ": " + " ".join(map(str, told))))
        raise VIOLATIONS[-1]


S = TypeVar("S", bound=StrEnum)


def _move(table: Mapping[S, frozenset[S]], old: S, new: S, invariant: str) -> None:
    require(old is new or new in table[old], invariant, old, "became", new)


class Watch:
    """Checks every change before and after it is made, and records what ran outside of the
    product."""

    def __init__(self, lease: float, clock: Callable[[], float]) -> None:
        self.lease = lease
        self.clock = clock
        self.tables: Tables
        #: Time without any outage of the database, as far as beats could come through.
        self.outages = 0.0
        self.processes: dict[int, Process] = {}
        self.runs: Counter[str] = Counter()
        self.run_of_step: Counter[str] = Counter()
        self.acked: dict[str, str] = {}
        #: What each command's client was answered, and the instance that it was for.
        self.commands: dict[str, tuple[str, str]] = {}
        self.stale = 0
        self.dirty: set[str] = set()

    # -- clients -----------------------------------------------------------------------------

    def acknowledged(self, key: str, instance: str) -> None:
        """A client has its answer."""
        known = self.acked.setdefault(key, instance)
        require(known == instance, "I1", "one key, two answers:", key)
        require(instance in self.tables.instances, "I1", "acknowledged and not there", key)

    def commanded(self, instance: str, key: str, answer: str) -> None:
        """A client has the answer to a command."""
        self.commands[key] = (instance, answer)

    # -- attempts ----------------------------------------------------------------------------

    def claimed(self, rows: Rows, row: AttemptRow) -> None:
        """An attempt was just claimed."""
        row.signs = (self._time(), 0.0)
        step = rows.steps[row.value.step]
        forward = not self._undoes(rows, step)
        require(row.value.withdrawn is False, "I14", "a withdrawn attempt starts", row.value)
        if forward:
            require(
                rows.value.status in OPEN_STATUSES,
                "I14",
                rows.value.status,
                "and",
                step.reference,
                "starts",
            )
            require(rows.value.status is not Status.SUSPENDED, "suspended, and starts", step)
        self._count_starts(rows, row, step)

    def _undoes(self, rows: Rows, step: Step) -> bool:
        return any(one.compensates is not None for one in rows.chain(step.id).values())

    def _count_starts(self, rows: Rows, row: AttemptRow, step: Step) -> None:
        mine = sorted(
            (one for one in rows.attempts if one.value.step == step.id),
            key=lambda one: one.value.number,
            reverse=True,
        )
        starts = 0
        for one in mine:
            if one is not row and one.value.state in (AttemptState.FAILED, AttemptState.SUCCEEDED):
                break
            starts += one.claimed_at is not None
        metadata = rows.workflow.task(step.reference).metadata
        most = 1 if metadata.get("onLost") == "fault" else metadata.get("maxStarts", 3)
        require(starts <= most, "I4", step.reference, "starts for the", starts, "th time")

    def beats(self, worker: str, in_flight: Sequence[str]) -> None:
        """Check a heartbeat against the attempts in flight."""
        now = self._time()
        for id in in_flight:
            row = self.tables.attempts.get(id)
            if row is not None and row.worker == worker:
                since, longest = row.signs
                row.signs = (now, max(longest, now - since))

    def _time(self) -> float:
        return self.clock() - self.outages

    def loses(self, attempt: str) -> None:
        """Check that a declared loss is one."""
        row = self.tables.attempts.get(attempt)
        if row is None or row.value.state is not CLAIMED:
            return
        process = self.processes[row.process or 0]
        since, longest = row.signs
        silence = max(longest, self._time() - since)
        legal = not process.alive or silence >= SILENCE * self.lease
        require(legal, "I3", "lost in", process.name, "which was silent for", silence, "s only")

    def ends(self, row: AttemptRow, state: AttemptState) -> None:
        """An attempt is about to end."""
        _move(ATTEMPT, row.value.state, state, "I2")
        if state is AttemptState.SUCCEEDED:
            rows = self.tables.instances[row.instance]
            twice = any(
                one.value.step == row.value.step and one.value.state is AttemptState.SUCCEEDED
                for one in rows.attempts
            )
            require(not twice, "I2", "a step succeeds twice:", row.value)
            require(self.runs[row.value.id] == 1, "I7", "succeeded, but did not run", row.value)

    # -- code --------------------------------------------------------------------------------

    def starts(self, work: ClaimedAttempt) -> None:
        """A worker is about to run a step's code."""
        row = self.tables.attempts.get(work.attempt.id)
        require(row is not None and row.token == work.token, "I7", "runs without a claim", work)

    def ran(self, work: ClaimedAttempt) -> None:
        """A worker has run a step's code: an effect outside the product."""
        self.runs[work.attempt.id] += 1
        self.run_of_step[work.key] += 1
        require(self.runs[work.attempt.id] == 1, "I7", "one attempt runs twice:", work.attempt)

    # -- transitions -------------------------------------------------------------------------

    def saves(self, rows: Rows, saving: SaveRequest) -> None:
        """A transition is about to be saved."""
        old, new, change = rows.value, saving.transition.instance, saving.transition
        late = (self.tables.now() - saving.stimulus.at).total_seconds()
        require(-0.001 < late < LATE, "I9", "by another clock than the database's:", late)
        require(len(rows.history) == old.sequence, "I2", "history has gaps", old.id)
        if new.run == old.run:
            _move(INSTANCE, old.status, new.status, "I13")
        else:  # it may end in this transition
            _move(INSTANCE, old.status, Status.RUNNING, "I13")
            _move(INSTANCE, Status.RUNNING, new.status, "I13")
        for one, other in _passed(old.compensation, new.compensation):
            _move(COMPENSATION, one, other, "I13")
        if old.status not in OPEN_STATUSES and old.status is not new.status:
            require(new.run == old.run + 1, "I13", old.status, "became", new.status)
            require(old.compensation is Compensation.NONE, "I13", "a run after undoing", old.id)
        for step in change.changed:
            before = rows.steps[step.id]
            opened = new.run != old.run and before.status not in OPEN_STATUSES
            if opened and step.status is not before.status:  # it may end in this transition
                _move(STEP, before.status, Status.RUNNING, "I2")
                _move(STEP, Status.RUNNING, step.status, "I2")
            else:
                _move(STEP, before.status, step.status, "I2")
            if before.status is Status.COMPLETED:
                require(
                    before.completion_number == step.completion_number,
                    "I2",
                    "a step completes twice:",
                    step,
                )
        self._check_result(saving)
        self._check_undoing(rows, saving)

    def _check_result(self, saving: SaveRequest) -> None:
        """Whoever ends an attempt has a right to (I3)."""
        for end in saving.transition.ended:
            row = self.tables.attempts[end.attempt]
            require(row.value.state in LIVE, "I2", "two ends of", row.value, end.state)
            if saving.fence is not None and saving.fence.attempt == end.attempt:
                require(row.value.state is CLAIMED, "I3", "not claimed:", row.value)
                require(row.token == saving.fence.token, "I3", "another's:", row.value)
        if saving.stimulus.ended is not None and saving.fence is None:
            require(saving.stimulus.id is not None, "I3", "a result without fence or note")

    def _check_undoing(self, rows: Rows, saving: SaveRequest) -> None:
        begun = [step for step in saving.transition.created if step.compensates is not None]
        ended = {end.attempt for end in saving.transition.ended}
        for step in begun:
            if step.parent != ROOT:
                continue
            in_flight = [
                row.value
                for row in rows.attempts
                if row.value.state is CLAIMED and row.value.id not in ended
            ]
            require(not in_flight, "I8", "undone while in flight:", step.reference, in_flight)
            change = saving.transition
            now = {one.id: one for one in (*change.created, *change.changed)}
            undone = now.get(step.compensates or ROOT, rows.steps.get(step.compensates or ROOT))
            legal = undone is not None and (
                undone.status is Status.COMPLETED
                or undone.outcome_unknown
                or (undone.kind == "run" and undone.completion_number is not None)
            )
            require(legal, "I8", "what did not complete is undone:", undone)

    def saved(self, rows: Rows, saving: SaveRequest) -> None:
        """A transition was saved."""
        self.dirty.add(rows.value.id)

    def fires(self, rows: Rows, step: int, kind: str, due: float) -> None:
        """A timer becomes a stimulus."""
        require(due <= self.clock(), "I9", "early:", step, kind, due, self.clock())

    # -- after each action -------------------------------------------------------------------

    def look(self) -> None:
        """Check that every open instance has something that moves it (I5)."""
        for id in self.dirty:
            rows = self.tables.instances[id]
            require(self._goes_on(rows), "I5", "an orphan:", rows.value, rows.steps)
            leaves = sum(
                s.status in OPEN_STATUSES and s.open_children == 0 for s in rows.steps.values()
            )
            require(
                rows.value.open_places == leaves,
                "the count of leaves is",
                rows.value.open_places,
                leaves,
            )
        self.dirty.clear()

    def _goes_on(self, rows: Rows) -> bool:
        one = rows.value
        if one.status is Status.SUSPENDED or rows.inbox:
            return True
        leaves = [
            s for s in rows.steps.values() if s.status in OPEN_STATUSES and s.open_children == 0
        ]
        if one.status not in OPEN_STATUSES and one.compensation is not Compensation.RUNNING:
            return all(self._awaited(rows, step) for step in leaves)
        return bool(leaves) and all(self._awaited(rows, step) for step in leaves)

    def _awaited(self, rows: Rows, step: Step) -> bool:
        if any(of == step.id for of, _ in rows.timers) or step.id in rows.listeners:
            return True
        if any(row.value.step == step.id and row.value.state in LIVE for row in rows.attempts):
            return True
        child = (step.state or {}).get("child")
        return child is not None and child in self.tables.instances

    # -- at the end --------------------------------------------------------------------------

    def finish(self) -> None:
        """After healing, everything has ended and nothing is left over."""
        for key, id in self.acked.items():
            require(id in self.tables.instances, "I1", "lost:", key)
        for key, (id, answer) in self.commands.items():
            self._check_command(self.tables.instances[id], key, answer)
        for rows in self.tables.instances.values():
            self._check_ended(rows)

    def _check_command(self, rows: Rows, key: str, answer: str) -> None:
        """A command that was taken is judged once; one that was refused leaves no trace."""
        mine = [row for row in rows.history if row.stimulus.get("data", {}).get("by") == key]
        refused = sum(fact.type == "command.refused" for row in mine for fact in row.facts)
        require(len(mine) == (answer != "refused"), "I1", answer, key, "was judged", len(mine))
        require(not refused or answer == "left", "I1", answer, key, "was refused later")

    def _check_ended(self, rows: Rows) -> None:
        one = rows.value
        require(one.status not in OPEN_STATUSES, "I5", "has not ended:", one)
        require(one.compensation is not Compensation.RUNNING, "I5", "is still undone:", one)
        require(one.open_places == 0, "I5", "open is", one.open_places)
        left = [step for step in rows.steps.values() if step.status in OPEN_STATUSES]
        require(not left, "I5", "open steps are left:", left)
        live = [row.value for row in rows.attempts if row.value.state in LIVE]
        require(not live, "I5", "live attempts are left:", live)
        require(not rows.timers, "I5", "timers are left:", rows.timers)
        require(not rows.listeners, "I5", "listeners are left:", rows.listeners)
        self._check_undone(rows)
        for told in dead_letter_invariants.wrong(rows):
            require(False, "I4", *told)

    def _check_undone(self, rows: Rows) -> None:
        """Exactly what completed is undone, in reverse order (I8)."""
        undoing = sorted(
            (
                step
                for step in rows.steps.values()
                if step.compensates is not None and not (step.state or {}).get("nothing_to_undo")
            ),
            key=lambda step: step.id,
        )
        targets = Counter(step.compensates for step in undoing)
        require(all(n == 1 for n in targets.values()), "I8", "undone twice:", targets)
        order = [
            rows.steps[s.compensates or ROOT].completion_number or 0
            for s in undoing
            if s.parent == ROOT
        ]
        require(order == sorted(order, reverse=True), "I8", "not in reverse order:", order)
        failed = {one["step"] for one in rows.letters if one["reason"] == "compensation"}
        for step in undoing:
            done = step.status is Status.COMPLETED
            require(done != (step.id in failed), "I8", "neither undone nor a dead letter:", step)
        if not must_undo(rows):
            return
        wanted = {step.id for step in rows.steps.values() if must_be_undone(rows, step)}
        asked = {step.compensates for step in rows.steps.values()} | {
            step.id for step in rows.steps.values() if is_late(rows, step)
        }
        require(wanted <= asked, "I8", "not undone:", wanted - asked)
        by_root = {step.compensates for step in undoing if step.parent == ROOT}
        require(by_root <= wanted, "I8", "undone for nothing:", by_root - wanted)


def must_undo(rows: Rows) -> bool:
    """Whether the end of this instance sets off its undoing."""
    facts = {fact.type for row in rows.history for fact in row.facts}
    commands = {
        row.stimulus.get("data", {}).get("command")
        for row in rows.history
        if row.stimulus["kind"] == StimulusKind.COMMAND
        and not any(fact.type == "command.refused" for fact in row.facts)
    }
    if "terminate" in commands or "workflow.compensated" in facts:
        return False
    held = rows.workflow.metadata.get("onFault") == "hold"
    if rows.value.status is Status.FAULTED:
        return not held
    return rows.value.status is Status.CANCELLED


def is_late(rows: Rows, step: Step) -> bool:
    """Whether a sub-workflow succeeded after the instance had ended: it stands for a retry, or
    (where the instance had been undone) was told to undo itself."""
    late = (
        fact.step == step.id and fact.type == "task.completed" and (fact.data or {}).get("late")
        for row in rows.history
        for fact in row.facts
    )
    none = rows.value.compensation is Compensation.NONE
    return step.kind == "run" and (none or step.compensated_by is None) and any(late)


def must_be_undone(rows: Rows, step: Step) -> bool:
    """Whether the end of the instance undoes this step, by the rules."""
    if step.completion_number is None or step.kind == "extension":
        return False
    chain = rows.chain(step.id)
    above = [one for id, one in chain.items() if id != step.id]
    if any(one.compensates is not None for one in chain.values()):
        return False
    if any(one.compensates == step.id and one.parent != ROOT for one in rows.steps.values()):
        return False  # a rollback has done it
    undoing = rows.workflow.task(step.reference).metadata.get("compensate")
    if undoing is None and step.kind != "run":
        return False
    replaced = any(
        one.status is Status.COMPLETED
        and "compensate" in rows.workflow.task(one.reference).metadata
        for one in above
    )
    # A sub-workflow that ended otherwise has its place where it has something to undo.
    known = step.status is Status.COMPLETED or step.kind == "run"
    return (known or (undoing or {}).get("onUnknown") is True) and not replaced


def _passed(old: Compensation, new: Compensation) -> list[tuple[Compensation, Compensation]]:
    """The moves from one state to another: a short compensation runs within a transition."""
    if new in COMPENSATION[old] or new is old:
        return [(old, new)]
    return [(old, Compensation.RUNNING), (Compensation.RUNNING, new)]
