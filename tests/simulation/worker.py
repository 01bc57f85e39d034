"""The simulated workers: a main process that beats and two children that run tasks.

What `orchestrator.execution` does around Celery is told here in short (its own tests run the
real thing): hold, claim, run, commit, go on with what was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from orchestrator.core.model import Attempt, AttemptEnd
from orchestrator.errors import DatabaseUnavailable
from orchestrator.execution.runtime.in_flight_table import InFlightSlot, InFlightTable
from orchestrator.execution.worker.heartbeat import HEARTBEATS_PER_LEASE
from orchestrator.execution.worker.step_messages import restore_task_name
from orchestrator.message_names import ADVANCE, HEADER
from orchestrator.state_manager import (
    ClaimedAttempt,
    ContinuationOffer,
    Decider,
    LeaseOwner,
    StateManager,
)
from tests.simulation.broker import Message
from tests.simulation.simulated_clock import Loop, Process
from tests.simulation.tasks import LOST, TASKS, Outcome

if TYPE_CHECKING:
    from tests.simulation.schedule import Simulation

T = TypeVar("T")

CHILDREN = 2
#: How long the supervisor and the pool take to start another one, in s.
RESTART = 0.5
#: As `execution.patience` has it, in s.
FIRST, LONGEST = 0.05, 2.0
HINT_PATIENCE = 10.0


class GaveUp(Exception):
    """The database was away for too long."""


class Worker:
    """One incarnation of a worker: it dies with its main process, and another is started."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.simulation = simulation
        self.loop = simulation.loop
        self.name = name
        self.id = simulation.new_id()
        self.hands = InFlightTable(CHILDREN)
        self.beats = simulation.maintenance_store
        self.main = Process(f"{name}-main", "main")
        self.main.on_death = self._died
        self.state = simulation.manager()
        self.children = [Child(self, index) for index in range(CHILDREN)]
        self.loop.spawn(self.main, "starts", self._beat)

    @property
    def processes(self) -> list[Process]:
        """All that die when the host does."""
        return [self.main, *(child.process for child in self.children)]

    def _beat(self) -> None:
        known = False
        while True:
            try:
                if not known:
                    self.beats.register(self.id)
                in_flight = self.hands.attempts()
                free_slots = sum(child.idle for child in self.children)
                known = self.beats.heartbeat(
                    self.id, in_flight, free_slots, self.hands.deciding(), self.simulation.lease
                )
            except DatabaseUnavailable:
                pass
            self.loop.sleep(self.simulation.lease / HEARTBEATS_PER_LEASE)

    def child_died(self, child: Child) -> None:
        """The main process has noticed: what the child had in hand is lost, and another child
        takes its slot."""
        if not self.main.alive:
            return
        self.hands.clear_process(child.pid)

        def tell() -> None:
            persist(
                self.loop,
                lambda: self.state.report_lost_process(LeaseOwner(self.id, child.pid), LOST),
            )

        def start() -> None:
            self.loop.sleep(RESTART)
            self.children[child.index] = Child(self, child.index)

        self.loop.spawn(self.main, "loses", tell)
        self.loop.spawn(self.main, "starts a child", start)

    def _died(self) -> None:
        """Without their main process the children get no more messages; half of the time they
        are gone with it, else they finish what they have in hand."""
        if self.simulation.random.random() < 0.5:
            for child in self.children:
                self.loop.kill(child.process)
        loop = self.loop
        loop.at(loop.now + RESTART, lambda: self.simulation.start_worker(self.name))


class Child:
    """One process of a worker's pool."""

    def __init__(self, worker: Worker, index: int) -> None:
        simulation = worker.simulation
        self.worker = worker
        self.simulation = simulation
        self.loop = simulation.loop
        self.index = index
        self.pid = simulation.new_pid()
        self.process = Process(f"{worker.name}-{self.pid}", "child")
        self.process.on_death = lambda: worker.child_died(self)
        simulation.watch.processes[self.pid] = self.process
        self.state: StateManager = simulation.manager()
        self.hand: InFlightSlot = worker.hands.slot(index, self.pid)
        self.idle = True
        self.following: ClaimedAttempt | None = None
        self.loop.spawn(self.process, "idle", self._run)

    def _run(self) -> None:
        broker, main = self.simulation.broker, self.worker.main
        while main.alive:
            message = broker.take(lambda: main.alive and not main.stopped)
            self.idle = False
            self._handle(message)
            self._follow()
            self.hand.clear()
            self.idle = True

    def _follow(self) -> None:
        while self.following is not None:
            work, self.following = self.following, None
            self.simulation.continued += 1
            self.hand.next_becomes_current()
            self._carry_out(work)

    # -- messages ----------------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        if message.task == ADVANCE:
            for instance in message.args:
                self._bring(str(instance))
                self._follow()
        elif HEADER in message.headers:
            work = self._claim(message)
            if work is not None:
                self._carry_out(work)

    def _bring(self, instance: str) -> None:
        until = self.loop.now + HINT_PATIENCE
        token, tries, take = f"{self.simulation.new_id()}.0", count(), self._take()
        decider = Decider(LeaseOwner(self.worker.id, self.pid), self.hand.set_deciding)
        try:
            self.following = persist(
                self.loop,
                lambda: self.state.process_inbox(
                    instance, take, token, is_repeat=next(tries) > 0, decider=decider
                ),
                lambda: self.loop.now > until,
            )
        except GaveUp:
            return

    def _claim(self, message: Message) -> ClaimedAttempt | None:
        self.hand.set_current(message.id)
        token = f"{self.simulation.new_id()}.0"
        holder = LeaseOwner(self.worker.id, self.pid)
        headers = {**message.headers, "task": message.task}
        restore_task_name(headers)
        return persist(
            self.loop,
            lambda: self.state.claim_attempt(
                message.id, message.instance, headers["task"], holder, token
            ),
        )

    # -- steps -------------------------------------------------------------------------------

    def _carry_out(self, work: ClaimedAttempt) -> None:
        simulation = self.simulation
        simulation.begun += 1
        simulation.watch.starts(work)
        self.loop.reach("run")
        self.loop.actions += 1
        if simulation.faults.armed:
            simulation.faults.at_task()
        outcome = TASKS[work.attempt.task](simulation.tables, work)
        simulation.watch.ran(work)
        if outcome.seconds:
            self._take_long(work, outcome)
        self._commit(work, outcome.ended(work.attempt.id))

    def _take_long(self, work: ClaimedAttempt, outcome: Outcome) -> None:
        """Until it is done, or its hard limit ends the process."""
        limit = work.attempt.time_limit
        if limit is None or limit > outcome.seconds:
            self.loop.sleep(outcome.seconds, "runs")
            return
        self.loop.sleep(limit, "runs")
        self.loop.kill(self.process)
        self.loop.reach("killed at its limit")

    def _commit(self, work: ClaimedAttempt, ended: AttemptEnd) -> None:
        take = self._take()
        self.following = persist(self.loop, lambda: self.state.commit_result(work, ended, take))
        if self.following is None:
            self.hand.clear_next()
        else:
            self.hand.set_next(self.following.attempt.id)

    def _take(self) -> ContinuationOffer | None:
        if not self.simulation.continues():
            return None
        return ContinuationOffer(LeaseOwner(self.worker.id, self.pid), self._accepts)

    def _accepts(self, attempt: Attempt) -> bool:
        if not self.simulation.continues():
            return False
        self.hand.set_next(attempt.id)
        return True


def persist(loop: Loop, call: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
    """As `execution.patience.persist`, by the simulated clock."""
    delay = FIRST
    while True:
        try:
            return call()
        except DatabaseUnavailable:
            if give_up():
                raise GaveUp from None
        loop.sleep(delay * loop.random.uniform(0.5, 1.0), "waits for the database")
        delay = min(delay * 2, LONGEST)
