"""The simulated database with a single process, for tests of what the simulation has found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, TypeVar

from orchestrator.core import Bounds
from orchestrator.core.model import Attempt, StimulusKind
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.expressions import Evaluator
from orchestrator.state_manager import (
    ClaimedAttempt,
    ContinuationOffer,
    Deliberation,
    LeaseOwner,
    StateManager,
    TransitionRunner,
    WorkflowCache,
)
from tests.simulation.broker import SimApp, SimBroker, SimDispatcher
from tests.simulation.database import SimDatabase, SimStore
from tests.simulation.faults import Faults
from tests.simulation.rows import Rows
from tests.simulation.simulated_clock import Loop, Process
from tests.simulation.tables import Tables

T = TypeVar("T")

EVALUATOR = Evaluator()


class Alone:
    """One process with a State Manager on an empty database."""

    def __init__(self) -> None:
        random = Random(0)
        self.loop = Loop(random)
        self.tables = Tables(lambda: self.loop.now)
        faults = Faults(random, self.loop, [])
        self.store = SimStore(SimDatabase(self.loop, self.tables, faults))
        self.broker = SimBroker(self.loop, faults)
        dispatcher = SimDispatcher(SimApp(self.broker), "orchestrator", 2.0)  # type: ignore[arg-type]
        self.state = StateManager(
            store=self.store,
            dispatcher=dispatcher,
            workflows=WorkflowCache(self.store),
            time=DatabaseClock(),
            runner=TransitionRunner(
                partial(Deliberation, EVALUATOR.evaluate, EVALUATOR.sandbox.run),
                Bounds(),
                dispatcher.queue_of,
            ),
            seed=lambda: random.getrandbits(63),
        )
        self.holder = LeaseOwner("worker", 1)
        self._process = Process("alone", "child")
        self._instances = 0

    def do(self, call: Callable[[], T]) -> T:
        """Run something that speaks to the database."""
        answers: list[T] = []
        self.loop.spawn(self._process, "does", lambda: answers.append(call()))
        while not answers:
            assert self.loop.step()
        return answers[0]

    def start(self, document: dict[str, Any]) -> str:
        """Start an instance of a document and run it as far as it goes by itself."""
        self._instances += 1
        id = f"00000000-0000-7000-8000-{self._instances:012}"
        self.tables.start(id, self.tables.deploy(document), {})
        self.do(lambda: self.state.process_inbox(id))
        return id

    def tell(
        self, instance: str, command: str, take: ContinuationOffer | None = None
    ) -> ClaimedAttempt | None:
        """Command an instance."""
        self.tables.put(instance, StimulusKind.COMMAND, data={"command": command})
        return self.do(lambda: self.state.process_inbox(instance, take))

    def rows(self, instance: str) -> Rows:
        """All of an instance."""
        return self.tables.instances[instance]

    def take(self, accepts: Callable[[Attempt], bool] = lambda _: True) -> ContinuationOffer:
        """An offer to run what becomes ready."""
        return ContinuationOffer(self.holder, accepts)
