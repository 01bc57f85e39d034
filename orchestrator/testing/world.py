"""A world in memory for the pure core: instances, their workers, the clock and events, each moved
by a call.

    world = World(document)
    id = world.start("test/order", {"id": 1})
    world.succeed(world.ready(id)[0], {"ok": True})
    world.instance(id).output
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import (
    Attempt,
    AttemptEnd,
    AttemptState,
    Fact,
    Instance,
    Json,
    Step,
    StimulusKind,
)
from orchestrator.testing.instance_store import InstanceStore
from orchestrator.testing.transition_application import stored
from orchestrator.testing.transition_checks import require


class World(InstanceStore):
    """The store with everything outside the core."""

    # -- the workers --------------------

    def every_attempt(self) -> list[Attempt]:
        """Every attempt, in the order of creation."""
        return [one for rows in self.rows.values() for one in rows.attempts.values()]

    def step_of(self, attempt: Attempt) -> Step:
        """Return the step of an attempt."""
        return self.of(attempt).steps[attempt.step]

    def call_of(self, attempt: Attempt) -> Json:
        """Return what an attempt asks its worker to do."""
        return self.step_of(attempt).call

    def succeed(self, attempt: Attempt, output: Json = None, *, run: bool = True) -> None:
        """End an attempt with an output."""
        self.end(attempt, AttemptEnd(attempt.id, AttemptState.SUCCEEDED, stored(output)), run=run)

    def fail(self, attempt: Attempt, error: Json = None, *, run: bool = True, **more: Any) -> None:
        """End an attempt with an error."""
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
        """Return when the next timer is due; None if none is armed."""
        return min(
            (due for rows in self.rows.values() for due in rows.timers.values()), default=None
        )

    def fire(self) -> None:
        """Move the clock to the next timer and fire it."""
        due = self.next_due()
        if due is None:
            raise AssertionError("no timer is armed")
        self.now = max(self.now, due)
        self.fire_timers()
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
        """Return an instance."""
        return self.rows[id].instance

    def steps(self, id: str, ref: str | None = None) -> list[Step]:
        """Return the steps of an instance, or those of one task, by their numbers."""
        found = sorted(self.rows[id].steps.values(), key=lambda step: step.id)
        return [step for step in found if ref is None or step.reference == ref]

    def step(self, id: str, ref: str) -> Step:
        """The newest step of a task; `ref` may be only the task's name."""
        found = [
            s for s in self.steps(id) if s.reference == ref or s.reference.rsplit("/", 1)[-1] == ref
        ]
        require(bool(found), f"no step {ref} among {[step.reference for step in self.steps(id)]}")
        return found[-1]

    def facts(self, id: str, type: str | None = None) -> list[Fact]:
        """Return the facts in the history of an instance, or those of one type."""
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
