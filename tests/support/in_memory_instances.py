"""A world in memory for the pure core: rows in dictionaries, stimuli in inboxes, a clock that moves
only by a call. It applies transitions as the database would, answers the core's needs, and checks
the invariants of every transition.

    world = World(document)
    id = world.start("test/order", {"id": 1})
    world.succeed(world.ready(id)[0], {"ok": True})
    world.instance(id).output
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.core import Bounds, advance
from orchestrator.core.legal_status_changes import COMPENSATION, INSTANCE, STEP, change_status
from orchestrator.core.model import (
    OPEN_STATUSES,
    ROOT,
    Attempt,
    AttemptEnd,
    AttemptState,
    Compensation,
    DataNeeded,
    Fact,
    Instance,
    Json,
    Slice,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate, Evaluator
from orchestrator.ids import uuid7
from tests.support.rows import ANSWERS, LIVE, Rows, chain

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_EVALUATOR = Evaluator()


def plain(value: Json) -> Json:
    """Return the value as it comes back from a database; fail for anything that is no JSON."""
    return None if value is None else json.loads(json.dumps(value, allow_nan=False))


def never(program: str, *_: Any) -> Json:
    """The evaluator of a transition that must not evaluate anything."""
    raise AssertionError(f"it was to be decided without {program!r}")


class World:
    """Deploys documents, runs instances, and does everything outside the core."""

    #: The core; a benchmark wraps it to measure the time.
    advance = staticmethod(advance)

    #: Whether commands are decided as in the API's request, or as in a control worker.
    decided = False

    def __init__(
        self,
        *documents: Mapping[str, Any],
        evaluate: Evaluate | None = None,
        limits: Bounds | None = None,
        secrets: Mapping[str, Json] | None = None,
        seed: int = 0,
    ) -> None:
        self.evaluate = evaluate or _EVALUATOR.evaluate
        self.limits = limits or Bounds()
        self.secrets = dict(secrets or {})
        self.now = EPOCH
        self.seed = seed
        self.made = 0
        self.workflows: dict[str, Workflow] = {}
        self.rows: dict[str, Rows] = {}
        self.events: list[Json] = []
        self.ignored: list[str] = []
        #: Instances whose inboxes are not processed for now.
        self.paused: set[str] = set()
        #: How many needs of each kind the core has raised.
        self.needs: Counter[str] = Counter()
        for document in documents:
            self.deploy(document)

    # -- doing --------------------

    def deploy(self, document: Mapping[str, Any]) -> str:
        workflow = Workflow(dict(document))
        id = f"{workflow.namespace}/{workflow.name}/{workflow.version}"
        self.workflows[id] = workflow
        return id

    def start(self, name: str | None = None, input: Json = None, *, run: bool = True) -> str:
        """Start an instance of the workflow whose id begins with `name` (default: the only)."""
        workflow_id = next(id for id in self.workflows if name is None or id.startswith(name))
        id = self._insert(workflow_id, input)
        if run:
            self.drain()
        return id

    def _insert(self, workflow_id: str, input: Json, id: str | None = None, **more: Any) -> str:
        self.made += 1
        id = id or uuid7(int(self.now.timestamp() * 1000), self.made)
        workflow = self.workflows[workflow_id]
        instance = Instance(
            id, workflow.namespace, workflow_id, input=plain(input), created_at=self.now, **more
        )
        self.rows[id] = Rows(instance, workflow)
        self.send_stimulus(id, StimulusKind.START, run=False)
        return id

    def send_stimulus(
        self,
        id: str,
        kind: StimulusKind,
        step: int | None = None,
        data: Json = None,
        *,
        run: bool = True,
    ) -> None:
        """Put a stimulus into an instance's inbox."""
        self.rows[id].inbox.append(self._stimulus(kind, step, plain(data) or {}))
        if run:
            self.drain()

    def command(self, id: str, command: str, **data: Json) -> None:
        self.send_stimulus(id, StimulusKind.COMMAND, data={"command": command, **data})

    def drain(self) -> None:
        """Apply all stimuli, until no inbox has one that can be applied."""
        while True:
            waiting = [id for id in self.rows if self._next(id) is not None]
            if not waiting:
                return
            for id in waiting:
                stimulus = self._next(id)
                if stimulus is not None:
                    self.rows[id].inbox.remove(stimulus)
                    self.apply(id, replace(stimulus, at=self.now))

    def _next(self, id: str) -> Stimulus | None:
        rows = self.rows[id]
        if id in self.paused:
            return None
        suspended = rows.instance.status is Status.SUSPENDED
        taken = (StimulusKind.COMMAND, StimulusKind.RESULT)
        return next((one for one in rows.inbox if not suspended or one.kind in taken), None)

    def _stimulus(self, kind: StimulusKind, step: int | None, data: Json, **more: Any) -> Stimulus:
        self.seed += 1
        return Stimulus(kind, self.now, self.seed, step, data, **more)

    def apply(self, id: str, stimulus: Stimulus) -> Transition:
        """Decide and apply one transition."""
        rows = self.rows[id]
        slice = self._slice(rows, stimulus)
        evaluate = self.evaluate
        if self._is_decided(stimulus):
            evaluate, stimulus = never, replace(stimulus, items=0)
        while True:
            try:
                transition = self.advance(rows.workflow, slice, stimulus, evaluate, self.limits)
                break
            except DataNeeded as needs:
                self.needs[needs.need.what] += 1
                answer = ANSWERS[needs.need.what](self, rows, *needs.need.args)
                slice = replace(slice, loaded={**slice.loaded, needs.need: answer})
        if transition.ignored is not None:
            self.ignored.append(transition.ignored)
            self._ignore(rows, stimulus)
        else:
            if transition.refused is not None:
                self.ignored.append(transition.refused.reason)
            self._apply(rows, transition)
        return transition

    def _is_decided(self, stimulus: Stimulus) -> bool:
        """Whether the API decides the command in its request: without any expression, the rest of
        the agenda as stimuli."""
        return (
            self.decided
            and stimulus.kind is StimulusKind.COMMAND
            and stimulus.data.get("command") != "reconcile"
        )

    def _slice(self, rows: Rows, stimulus: Stimulus) -> Slice:
        attempt = rows.attempts.get(stimulus.ended.attempt) if stimulus.ended else None
        return Slice(rows.instance, chain(rows, stimulus.step or ROOT), attempt)

    def _ignore(self, rows: Rows, stimulus: Stimulus) -> None:
        end = stimulus.ended
        if end is not None and rows.attempts[end.attempt].state in LIVE:
            self._end(rows, end)

    # -- applying --------------------

    def _apply(self, rows: Rows, change: Transition) -> None:
        self._check(rows, change)
        rows.instance = replace(
            change.instance,
            **{
                name: plain(getattr(change.instance, name))
                for name in ("output", "error", "context", "state")
            },
            input=plain(change.inputs[0]) if change.inputs else rows.instance.input,
        )
        for step in change.created:
            rows.steps[step.id] = _saved(step)
        for step in change.changed:
            old = rows.steps[step.id]
            rows.steps[step.id] = replace(_saved(step), input=old.input, raw_input=old.raw_input)
        for end in change.ended:
            self._end(rows, end)
        for attempt in rows.attempts.values() if change.withdrawn else ():
            if attempt.step in change.withdrawn and attempt.state in LIVE:
                ready = attempt.state is AttemptState.READY
                state = AttemptState.WITHDRAWN if ready else attempt.state
                rows.attempts[attempt.id] = replace(attempt, state=state, withdrawn=True)
        for attempt in change.attempts:
            assert attempt.id not in rows.attempts
            rows.attempts[attempt.id] = attempt
        self._apply_rest(rows, change)

    def _apply_rest(self, rows: Rows, change: Transition) -> None:
        rows.timers = {
            key: due for key, due in rows.timers.items() if key[0] not in change.timers_removed
        }
        rows.timers.update({(one.step, one.kind.value): one.due_at for one in change.timers})
        for step in change.listeners_removed:
            rows.listeners.pop(step, None)
        rows.listeners.update({one.step: one for one in change.listeners})
        rows.chunks.update({(one.step, one.index): one for one in change.chunks})
        rows.dead_letters.extend(plain(letter) for letter in change.dead_letters)
        rows.letters_closed.extend(plain(letter) for letter in change.letters_closed)
        rows.history.append(change)
        for id in change.pruned:
            _prune(rows, id)
        self.events.extend(plain(event) for event in change.emitted)
        for child in change.children:
            parent = (rows.instance.id, child.parent_step) if child.parent_step else (None, None)
            more = {"parent_instance": parent[0], "parent_step": parent[1]}
            self._insert(child.workflow_id, child.input, child.id, state=child.state, **more)
        for note in change.stimuli:
            self.send_stimulus(
                note.instance or rows.instance.id, note.kind, note.step, note.data, run=False
            )

    def _end(self, rows: Rows, end: AttemptEnd) -> None:
        attempt = rows.attempts[end.attempt]
        assert attempt.state in LIVE, "an attempt has one end (I2)"
        rows.attempts[end.attempt] = replace(attempt, state=end.state)

    def _check(self, rows: Rows, change: Transition) -> None:
        """Check what must be true of every transition, whatever the document."""
        old, new = rows.instance, change.instance
        assert new.sequence == old.sequence + 1
        if new.run == old.run:
            change_status(INSTANCE, old.status, new.status)
        else:
            change_status(INSTANCE, old.status, Status.RUNNING)
            change_status(INSTANCE, Status.RUNNING, new.status)
        for one, other in _passed(old.compensation, new.compensation):
            change_status(COMPENSATION, one, other)
        if new.compensation is Compensation.NONE:
            assert old.compensation in (Compensation.NONE, Compensation.RUNNING)
        if old.status not in OPEN_STATUSES and old.status is not new.status:
            assert new.run == old.run + 1, "a terminal status changes only by a repair (I13)"
        for step in change.created:
            assert step.id not in rows.steps
            assert step.id <= new.last_number
        for step in change.changed:
            if new.run == old.run:
                change_status(STEP, rows.steps[step.id].status, step.status)
            elif step.status is not rows.steps[step.id].status:
                change_status(STEP, rows.steps[step.id].status, Status.RUNNING)
            if rows.steps[step.id].status is Status.COMPLETED:
                assert rows.steps[step.id].completion_number == step.completion_number, (
                    "a step succeeds at most once (I2)"
                )
        if new.status not in OPEN_STATUSES:
            self._check_ended(rows, change)

    def _check_ended(self, rows: Rows, change: Transition) -> None:
        steps = {**rows.steps, **{step.id: step for step in (*change.created, *change.changed)}}
        for attempt in change.attempts:
            assert any(steps[id].compensates is not None for id in _path(steps, attempt.step)), (
                "after the end no forward attempt starts (I14)"
            )

    # -- the workers --------------------

    def ready(self, id: str | None = None) -> list[Attempt]:
        """Attempts that a worker may claim, those of the oldest steps first."""
        return self._attempts(AttemptState.READY, id)

    def running(self, id: str | None = None) -> list[Attempt]:
        """Attempts that a worker has claimed."""
        return self._attempts(AttemptState.CLAIMED, id)

    def _attempts(self, state: AttemptState, id: str | None) -> list[Attempt]:
        found = [one for rows in self._some(id) for one in rows.attempts.values()]
        return sorted(
            (one for one in found if one.state is state), key=lambda one: (one.step, one.number)
        )

    def _some(self, id: str | None) -> list[Rows]:
        return [self.rows[id]] if id else list(self.rows.values())

    def every_attempt(self) -> list[Attempt]:
        """Every attempt, in the order of creation."""
        return [one for rows in self.rows.values() for one in rows.attempts.values()]

    def of(self, attempt: Attempt) -> Rows:
        return next(rows for rows in self.rows.values() if attempt.id in rows.attempts)

    def step_of(self, attempt: Attempt) -> Step:
        return self.of(attempt).steps[attempt.step]

    def call_of(self, attempt: Attempt) -> Json:
        return self.step_of(attempt).call

    def claim(self, attempt: Attempt) -> Attempt:
        rows = self.of(attempt)
        now = rows.attempts[attempt.id]
        assert now.state is AttemptState.READY, f"refused: {now.state}"
        rows.attempts[attempt.id] = replace(now, state=AttemptState.CLAIMED)
        return rows.attempts[attempt.id]

    def end(self, attempt: Attempt, end: AttemptEnd, *, run: bool = True) -> None:
        """Report the end of an attempt; claim it first if no worker has."""
        rows = self.of(attempt)
        if rows.attempts[attempt.id].state is AttemptState.READY and end.state is not (
            AttemptState.LOST
        ):
            self.claim(attempt)
        rows.inbox.append(self._stimulus(StimulusKind.RESULT, attempt.step, {}, ended=end))
        if run:
            self.drain()

    def succeed(self, attempt: Attempt, output: Json = None, *, run: bool = True) -> None:
        self.end(attempt, AttemptEnd(attempt.id, AttemptState.SUCCEEDED, plain(output)), run=run)

    def fail(self, attempt: Attempt, error: Json = None, *, run: bool = True, **more: Any) -> None:
        error = error or {"type": "https://example.com/boom", "status": 500, "title": "Boom"}
        self.end(attempt, AttemptEnd(attempt.id, AttemptState.FAILED, None, error, **more), run=run)

    def lose(self, attempt: Attempt, *, claimed: bool = True) -> None:
        """The worker dies with the claimed attempt."""
        if claimed and self.of(attempt).attempts[attempt.id].state is AttemptState.READY:
            self.claim(attempt)
        error = {"type": "lost", "status": 500, "detail": "the worker was lost"}
        self.end(
            attempt, AttemptEnd(attempt.id, AttemptState.LOST, None, error, outcome_unknown=True)
        )

    def work(self, answer: Callable[[Json], Json], most: int = 10_000) -> None:
        """Carry out every ready attempt: `answer` returns the output of a call, or raises."""
        for _ in range(most):
            ready = self.ready()
            if not ready:
                return
            try:
                output = answer(self.call_of(ready[0]))
            except Failure as failure:
                self.fail(ready[0], failure.error)
            else:
                self.succeed(ready[0], output)
        raise AssertionError("the work does not end")

    # -- the clock and the events --------------------

    def pass_time(self, seconds: float) -> None:
        """Move the clock; timers that are due meanwhile fire at their time."""
        until = self.now + timedelta(seconds=seconds)
        while (due := self.next_due()) is not None and due <= until:
            self.fire()
        self.now = until

    def next_due(self) -> datetime | None:
        return min(
            (due for rows in self.rows.values() for due in rows.timers.values()), default=None
        )

    def fire(self) -> None:
        """Move the clock to the next timer and fire it."""
        due = self.next_due()
        assert due is not None, "no timer is armed"
        self.now = max(self.now, due)
        for id, rows in self.rows.items():
            for (step, kind), at in list(rows.timers.items()):
                if at <= self.now:
                    del rows.timers[step, kind]
                    self.send_stimulus(
                        id, StimulusKind.TIMER, step or None, {"kind": kind}, run=False
                    )
        self.drain()

    def run_out(self, answer: Callable[[Json], Json] | None = None, most: int = 1_000) -> None:
        """Work and let time pass until nothing more can happen."""
        for _ in range(most):
            if answer is not None:
                self.work(answer)
            if self.next_due() is None:
                return
            self.fire()
        raise AssertionError("time does not end")

    def publish(self, id: str, event: Json, **data: Json) -> None:
        """Send an event to the first listener of an instance."""
        step = next(iter(self.rows[id].listeners))
        self.send_stimulus(id, StimulusKind.EVENT, step, {"event": event, "matches": [0], **data})

    # -- looking --------------------

    def instance(self, id: str) -> Instance:
        return self.rows[id].instance

    def steps(self, id: str, ref: str | None = None) -> list[Step]:
        found = sorted(self.rows[id].steps.values(), key=lambda step: step.id)
        return [step for step in found if ref is None or step.reference == ref]

    def step(self, id: str, ref: str) -> Step:
        """The newest step of a task; `ref` may be only the task's name."""
        found = [
            s for s in self.steps(id) if s.reference == ref or s.reference.rsplit("/", 1)[-1] == ref
        ]
        assert found, f"no step {ref} among {[step.reference for step in self.steps(id)]}"
        return found[-1]

    def facts(self, id: str, type: str | None = None) -> list[Fact]:
        told = [fact for change in self.rows[id].history for fact in change.facts]
        return [fact for fact in told if type is None or fact.type == type]

    def order(self, id: str) -> list[str]:
        """The names of the tasks in the order of their completion."""
        done = [step for step in self.steps(id) if step.completion_number is not None]
        return [
            step.reference.rsplit("/", 1)[-1]
            for step in sorted(done, key=lambda s: s.completion_number or 0)
        ]


class Failure(Exception):
    """What an answer to `World.work` raises to fail the attempt."""

    def __init__(self, error: Json) -> None:
        super().__init__(error)
        self.error = error


def _passed(old: Compensation, new: Compensation) -> list[tuple[Compensation, Compensation]]:
    """The moves from one state to another: a short compensation runs within one transition."""
    if new in COMPENSATION[old] or new is old:
        return [(old, new)]
    return [(old, Compensation.RUNNING), (Compensation.RUNNING, new)]


def _saved(step: Step) -> Step:
    names = ("input", "raw_input", "output", "state", "scope", "call", "error")
    return replace(step, **{name: plain(getattr(step, name)) for name in names})


def _path(steps: Mapping[int, Step], id: int) -> list[int]:
    path = []
    while id != ROOT:
        path.append(id)
        id = steps[id].parent
    return path


def _prune(rows: Rows, id: int) -> None:
    for child in [step.id for step in rows.steps.values() if step.parent == id]:
        _prune(rows, child)
    rows.steps.pop(id, None)
    rows.attempts = {key: one for key, one in rows.attempts.items() if one.step != id}
