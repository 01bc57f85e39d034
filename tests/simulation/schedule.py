"""One schedule: everything that follows from a seed, from the document to the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from orchestrator import clock, ids, task_dispatcher
from orchestrator.core import Bounds
from orchestrator.core.model import OPEN_STATUSES, Compensation, Status
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.transitions import transition_writer
from orchestrator.expressions import Evaluator
from orchestrator.metrics.meter import Meter
from orchestrator.scheduler import lease_watchdog, maintenance_loop
from orchestrator.state_manager import (
    Commander,
    StateManager,
    TransitionRunner,
    WorkflowCache,
    claims,
    inbox,
    post_commit,
    results,
)
from orchestrator.testing.instance_store import EPOCH
from tests.simulation import invariants, replay, verdict
from tests.simulation.beat import Beat
from tests.simulation.broker import AT_BROKER, Message, SimApp, SimBroker, SimDispatcher
from tests.simulation.client import Api, Client
from tests.simulation.database import SimDatabase, SimStore
from tests.simulation.deliberation import SimDeliberation
from tests.simulation.documents import Documents
from tests.simulation.faults import Faults, Pair, draw
from tests.simulation.invariants import Watch, require
from tests.simulation.logs import Recorder
from tests.simulation.maintenance_store import SimMaintenanceStore
from tests.simulation.rows import Rows
from tests.simulation.simulated_clock import Loop, Process
from tests.simulation.tables import Tables
from tests.simulation.worker import Worker

EVALUATOR = Evaluator()


class Uncounted(Meter):
    """A meter without memory or counting, which would cost too much time here."""

    def count(self, *_: Any) -> None:
        """Not counted."""

    def observe(self, *_: Any) -> None:
        """Not counted."""


METER = Uncounted()

LEASE = 2.0
PATIENCE = 2.0
WORKERS, BEATS = 3, 2
#: How often a worker does not offer to continue, or refuses what it is offered.
SHYNESS = 0.3
#: Small, so that forks are wide for it.
WAVE = 2

#: The faults end here at the latest, and so must everything else.
MOST_ACTIONS = 200
DISTURBED = 60.0
MOST_STEPS = 60_000
#: After healing everything ends within this time, in s.
BOUND = 900.0


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one schedule."""

    seed: int
    actions: int
    faults: tuple[Pair, ...]
    instances: int
    refused: int
    seconds: float
    #: How many attempts were begun, and those that their worker had continued with.
    begun: int
    continued: int


class Simulation:
    """All processes with their database, broker and clock."""

    def __init__(
        self,
        seed: int,
        *,
        most_faults: int = 10,
        tables: type[Tables] = Tables,
        documents: Documents | None = None,
        turns: Random | None = None,
        continuation: bool | None = None,
    ) -> None:
        self.seed = seed
        #: Whether workers continue with what they made ready; None: sometimes they do.
        self.continuation = continuation
        self.begun = self.continued = 0
        self.random = Random(seed)
        self.lease, self.patience = LEASE, PATIENCE
        self.loop = Loop(turns or self.random)
        self.watch = Watch(self.lease, lambda: self.loop.now)
        self.tables = tables(lambda: self.loop.now, self.watch)
        self.watch.tables = self.tables
        self.faults = Faults(self.random, self.loop, draw(self.random, most_faults))
        self.faults.simulation = self
        self.database = SimDatabase(self.loop, self.tables, self.faults)
        self.database.announced = self._announce
        self.broker = SimBroker(self.loop, self.faults)
        self.maintenance_store = SimMaintenanceStore(self.database)
        self.log = Recorder()
        #: By how much the processes' wall clock is off, and the time at which it stands.
        self.skew = 0.0
        self.stands_at: float | None = None
        self._made = 0
        self.store = SimStore(self.database)
        self._workflows = WorkflowCache(self.store)
        app: Any = SimApp(self.broker)
        #: It knows nothing but the queues' names, so that one serves all processes.
        self._dispatcher = SimDispatcher(app, "orchestrator", 2.0, meter=METER)
        self.limits = Bounds(tasks=self.random.choice([1, 3, 100]), items=2)
        #: Of its own, so that a seed stands for the same documents and faults.
        self._thinking = Random(seed)
        self._bringer = TransitionRunner(
            lambda on_long: SimDeliberation(self.loop, self._thinking, on_long),
            self.limits,
            self._dispatcher.queue_of,
        )
        self.documents = documents or Documents(self.random)
        self.bodies = self.documents.all()
        self.ids = [self.tables.deploy(body) for body in self.bodies]
        self.commands = self._draw_commands()
        #: How often people repair what has failed, after everything has settled.
        self.repairs = self.random.choice([0, 0, 1, 2])
        self.workers: dict[str, Worker] = {}
        self.beats: dict[str, Beat] = {}
        for number in range(WORKERS):
            self.start_worker(f"worker{number}")
        for number in range(BEATS):
            self.start_beat(f"beat{number}")
        self.api = Api(self)
        self.client = Client(self)
        self.wanted = self.random.choice([1, 1, 2, 3])
        for number in range(self.wanted):
            self.client.start(self.ids[0], {"n": number}, f"key{number}")

    # -- making ------------------------------------------------------------------------------

    def new_uuid(self) -> str:
        """An id that follows from the seed."""
        return ids.uuid7(int(self.loop.now * 1000), self.random.getrandbits(74))

    def new_id(self) -> str:
        """A worker's, or a token."""
        return ids.text(self.random.getrandbits(128))

    def new_pid(self) -> int:
        """Of a process."""
        self._made += 1
        return self._made

    def manager(self) -> StateManager:
        """The real State Manager of one process."""
        return StateManager(
            store=self.store,
            dispatcher=self._dispatcher,
            workflows=self._workflows,
            time=DatabaseClock(),
            meter=METER,
            runner=self._bringer,
            lease=self.lease,
            seed=lambda: self.random.getrandbits(63),
        )

    def commander(self) -> Commander:
        """What decides the commands of the API."""
        return Commander(
            self._workflows,
            self.limits,
            self._dispatcher.queue_of,
            seed=lambda: self.random.getrandbits(63),
            meter=METER,
        )

    def continues(self) -> bool:
        """Whether a worker goes on by itself this time. It is drawn even where it is forced, so
        that a seed stands for the same documents and faults."""
        drawn = self.random.random() >= SHYNESS
        return drawn if self.continuation is None else self.continuation

    def start_worker(self, name: str) -> None:
        """By the supervisor."""
        self.workers[name] = Worker(self, name)

    def start_beat(self, name: str) -> None:
        """By the supervisor."""
        self.beats[name] = Beat(self, name)

    def start_api(self) -> None:
        """By the supervisor."""
        self.api = Api(self)

    def _announce(self) -> None:
        for beat in self.beats.values():
            beat.wake()

    def _draw_commands(self) -> list[tuple[int, str]]:
        chosen: list[tuple[int, str]] = []
        if any(fault.state == "suspended" for fault in self.faults.planned):
            chosen.append((self.random.randint(1, 30), "suspend"))
        if self.random.random() < 0.3:
            kinds = ["cancel", "suspend", "suspend", "terminate", "retry"]
            chosen += [
                (self.random.randint(5, 60), self.random.choice(kinds))
                for _ in range(self.random.randint(1, 2))
            ]
        for at, kind in list(chosen):
            if kind == "suspend":
                chosen.append((at + self.random.randint(1, 30), "resume"))
        return sorted(chosen)

    # -- faults ------------------------------------------------------------------------------

    def group_of(self, process: Process) -> list[Process]:
        """What dies, or is stopped, with its host."""
        for worker in self.workers.values():
            if process in worker.processes:
                return worker.processes
        return [process]

    def conditions(self) -> set[str]:
        """In what state the instances are."""
        found: set[str] = set()
        for rows in self.tables.instances.values():
            one = rows.value
            if one.compensation is Compensation.RUNNING:
                found.add("compensating")
            elif one.status not in OPEN_STATUSES:
                found.add("ended")
            elif one.status is Status.RUNNING and all(key for key in rows.timers) and rows.timers:
                found |= {"waiting", "running"}
            else:
                found.add(one.status.value)
        return found

    def strike(self, kind: str) -> bool:
        """A fault that strikes everything at once. False: it has nothing to strike."""
        random, loop, broker = self.faults.random, self.loop, self.broker
        worker = random.choice(list(self.workers.values()))
        beat = random.choice(list(self.beats.values()))
        strikes: dict[str, Callable[[], bool | None]] = {
            "flush": broker.flush,
            "shuffle": broker.shuffle,
            "replay": lambda: broker.replay(10),
            "forgery": self._forge,
            "outage": lambda: self._outage(random.uniform(0, 5)),
            "broker away": lambda: broker.go_away(random.uniform(0.1, 5)),
            "worker killed": lambda: loop.kill(worker.main),
            "worker stopped": lambda: self._stop(worker),
            "beat killed": lambda: loop.kill(beat.process),
            "api killed": lambda: loop.kill(self.api.process),
            "clock stepped": self._step_clock,
            "clock stopped": self._stop_clock,
        }
        return strikes[kind]() is not False

    def _stop(self, worker: Worker) -> None:
        for process in worker.processes:
            self.loop.stop(process, 3 * self.lease)

    def _step_clock(self) -> None:
        self.skew = self.faults.random.choice([-3600.0, 3600.0])
        self.stands_at = None

    def _stop_clock(self) -> None:
        self.stands_at = self.loop.now

    def _forge(self) -> bool:
        """Messages that nobody of us has sent."""
        random = self.faults.random
        attempts = [*self.tables.attempts, self.new_uuid()]
        instances = [*self.tables.instances, self.new_uuid()]
        for _ in range(5):
            header = {"instance": random.choice(instances), "step": 1, "v": 1}
            task = random.choice(["sim.work", "sim.undo", "sim.other"])
            message = Message(task, random.choice(attempts), (), {"orchestrator": header})
            self.broker.put(AT_BROKER[0], message)
        self.broker.put(AT_BROKER[1], Message("orchestrator.advance", "x", (self.new_uuid(),)))
        return True

    def _outage(self, seconds: float) -> bool:
        database, loop, since = self.database, self.loop, self.loop.now
        if database.down:
            return False
        database.down = True
        database.end_sessions()

        def back() -> None:
            database.down = False
            self.watch.outages += loop.now - since

        loop.at(loop.now + seconds, back)
        return True

    # -- running -----------------------------------------------------------------------------

    def run(self) -> Result:
        """The whole schedule. Raises `Violated`, or whatever went wrong."""
        with self.simulated():
            try:
                self._disturb()
                self.finish()
            finally:
                self.loop.close()
        return Result(
            self.seed,
            self.loop.actions,
            tuple(self.faults.struck),
            len(self.tables.instances),
            self.log.stale,
            self.loop.now,
            self.begun,
            self.continued,
        )

    def finish(self) -> None:
        """Heal everything; then all must come to its end, and the end be the one it has to be."""
        self._heal()
        self._settle()
        self._repair()
        self.watch.finish()
        verdict.check(self)
        for rows in self.tables.instances.values():
            replay.check(self.tables.workflows, rows, EVALUATOR.evaluate, self.limits)

    def _disturb(self) -> None:
        faults, loop = self.faults, self.loop
        while loop.actions < MOST_ACTIONS and (faults.planned or faults.armed or self.commands):
            if loop.now > DISTURBED or self.settled():
                return
            if faults.planned and faults.planned[0].after <= loop.actions:
                faults.arm()
            elif self.watch.dirty and faults.armed:
                faults.at_once()
            if self.commands and self.commands[0][0] <= loop.actions:
                self.command(self.commands.pop(0)[1])
            self.act()

    def act(self) -> None:
        """Let one actor act; check what it changed."""
        if not self.loop.step():
            require(False, "I5", "nobody can act any more")
        if invariants.VIOLATIONS:
            raise invariants.VIOLATIONS[0]
        if self.log.errors:
            raise AssertionError("the product logged an error:\n" + self.log.errors[0])
        if self.watch.dirty:
            self.watch.look()

    def command(self, command: str) -> None:
        """Command a random instance, if there is one."""
        if self.tables.instances:
            instance = self.faults.random.choice(list(self.tables.instances))
            self.client.command(instance, command)

    def _heal(self) -> None:
        """Nothing is broken any more, nobody is stopped, nothing is suspended."""
        self.faults.end()
        if self.broker.away:
            self.broker.come_back()
        processes = [one for worker in self.workers.values() for one in worker.processes]
        processes += [beat.process for beat in self.beats.values()]
        for process in [*processes, self.api.process]:
            self.loop.resume(process)

    def _settle(self) -> None:
        until, steps = self.loop.now + BOUND, 0
        while not self.settled():
            steps += 1
            if steps % 50 == 0:
                require(steps < MOST_STEPS, "I5", "does not come to its end", self.left())
                require(self.loop.now < until, "I5", "not ended in time", self.left())
                self._resume_suspended()
            self.act()

    def _repair(self) -> None:
        """Sometimes retry what has failed, parents and sub-workflows at once."""
        for _ in range(self.repairs):
            failed = [
                id
                for id, rows in self.tables.instances.items()
                if rows.value.status in (Status.FAULTED, Status.CANCELLED)
                and rows.value.compensation is Compensation.NONE
            ]
            if not failed:
                return
            for id in self.random.sample(failed, min(2, len(failed))):
                self.client.command(
                    id, self.random.choice(["retry", "retry", "retry", "compensate"])
                )
            for _ in range(20):  # until the clients have been answered
                self.act()
            self._settle()

    def _resume_suspended(self) -> None:
        for id, rows in self.tables.instances.items():
            told = any(row["kind"] == "command" for row in rows.inbox.values())
            if rows.value.status is Status.SUSPENDED and not told:
                self.client.command(id, "resume")

    def settled(self) -> bool:
        """Whether nothing more will happen without a stimulus from outside."""
        tables = self.tables
        if tables.waiting or tables.live or len(self.watch.acked) < self.wanted:
            return False
        # The last one is the least likely to have ended.
        return all(map(is_settled, reversed(tables.instances.values())))

    def left(self) -> list[Any]:
        """Return what has not ended."""
        return [rows for rows in self.tables.instances.values() if not is_settled(rows)]

    @contextmanager
    def simulated(self) -> Iterator[None]:
        """Clocks and logs are the simulation's."""
        modules = (
            *(claims, inbox, post_commit, results),
            *(maintenance_loop, lease_watchdog, task_dispatcher),
        )
        before = (
            clock.now,
            clock.monotonic,
            [module.log for module in modules],
            transition_writer.WAVE,
        )
        invariants.VIOLATIONS.clear()
        clock.now, clock.monotonic = self._wall, lambda: self.loop.now
        task_dispatcher.monotonic = clock.monotonic  # type: ignore[attr-defined]
        transition_writer.WAVE = vars(claims)["WAVE"] = WAVE
        for module in modules:
            module.log = self.log  # type: ignore[attr-defined]
        try:
            yield
        finally:
            clock.now, clock.monotonic = before[:2]
            task_dispatcher.monotonic = clock.monotonic  # type: ignore[attr-defined]
            transition_writer.WAVE = vars(claims)["WAVE"] = before[3]
            for module, log in zip(modules, before[2], strict=True):
                module.log = log  # type: ignore[attr-defined]

    def _wall(self) -> datetime:
        at = self.loop.now if self.stands_at is None else self.stands_at
        return EPOCH + timedelta(seconds=at + self.skew)


def is_settled(rows: Rows) -> bool:
    """Whether an instance and its undoing have ended."""
    one = rows.value
    return (
        one.open_places == 0
        and one.status not in OPEN_STATUSES
        and one.compensation is not Compensation.RUNNING
    )
