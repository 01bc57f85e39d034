"""Lets the instances of a test happen: runs what is ready, moves the clock, brings events."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from orchestrator.core.model import Json
from orchestrator.testing.errors import NoEnd, TestingError
from orchestrator.testing.event_matching import cloud_event

if TYPE_CHECKING:
    from orchestrator.testing.engine import Engine
    from orchestrator.testing.in_process_worker import Worker
    from orchestrator.testing.schedules import Schedules

#: Attempts and moves of the clock in one call, after which a workflow counts as endless.
MOST = 100_000


class Driver:
    """One engine with one worker. `seed`: the order of what is ready is random, and the same for
    the same seed; None: the oldest first."""

    def __init__(self, engine: Engine, worker: Worker, schedules: Schedules) -> None:
        self.engine = engine
        self.worker = worker
        self.schedules = schedules
        self._random: Random | None = None

    def permute(self, seed: int | None) -> None:
        """Choose the order of what is ready at random from now on."""
        self._random = None if seed is None else Random(seed)  # noqa: S311  an order, no secret

    # -- work ----------------------------------------------------------------------------------

    def work(self) -> None:
        """Run everything that is ready, until nothing is.

        Raises:
            NoEnd: there is no end to it.
        """
        self.engine.settle()
        for _ in range(MOST):
            ready = self.engine.ready_attempts()
            if not ready:
                return
            chosen = ready[0] if self._random is None else self._random.choice(ready)
            try:
                self.worker.work(chosen)
            except TestingError:
                self.engine.abandon(self.engine.of(chosen))
                raise
        raise NoEnd(f"{MOST} attempts have run, and more are ready: does a loop never end?")

    def advance(self, duration: timedelta) -> None:
        """Let time pass, and all that happens meanwhile."""
        if duration < timedelta():
            raise ValueError("time does not run backward")
        until = self.engine.now + duration
        self.work()
        for _ in range(MOST):
            due = self._next_due()
            if due is None or due > until:
                self.engine.now = until
                return
            self._fire()
        raise NoEnd(f"the clock has stopped {MOST} times: does a loop never end?")

    def finish(self, id: str) -> None:
        """Let time pass until an instance has ended, or nothing more comes by itself."""
        self.work()
        for _ in range(MOST):
            if not self.engine.is_running(self.engine.rows[id]) or self.engine.next_due() is None:
                return
            self._fire()
        raise NoEnd(f"the clock has stopped {MOST} times: does a loop never end?")

    def _next_due(self) -> datetime | None:
        ours, theirs = self.engine.next_due(), self.schedules.next_due()
        return min((due for due in (ours, theirs) if due is not None), default=None)

    def _fire(self) -> None:
        due = self._next_due()
        if due is not None and self.schedules.next_due() == due:
            self.engine.now = max(self.engine.now, due)
            self.schedules.fire()
        if self.engine.next_due() == due:
            self.engine.fire()
        self.work()

    # -- from outside --------------------------------------------------------------------------

    def send(
        self,
        event: Json,
        data: Json,
        attributes: dict[str, Json],
        namespace: str,
        to: str | None = None,
    ) -> None:
        """Receive an event, and let happen what it brings about."""
        number = self.engine.made_number()
        made = cloud_event(event, data, attributes, number, self.engine.now)
        received = self.engine.matching.receive(made, namespace, to)
        if received is not None and to is None:
            self.schedules.on_event(received)
        self.work()

    def command(self, id: str, command: str, data: dict[str, Json]) -> str | None:
        """Give an instance a command. Return why it was refused, or None."""
        before = len(self.engine.ignored)
        given = {name: value for name, value in data.items() if value is not None}
        self.engine.command(id, command, **given)
        refused = self.engine.ignored[before:]
        history = self.engine.rows[id].history
        was_refused = bool(history) and history[-1].refused is not None
        self.work()
        return refused[-1] if refused and was_refused else None
