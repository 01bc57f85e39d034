"""The simulation in Hypothesis' hands: whatever goes wrong shrinks to the fewest faults and turns.

A seed draws the documents and the rest, and the first seeds have the smallest documents;
Hypothesis decides who acts next, which faults strike where, and what people command. What a
fault or a command draws besides follows from its rule's own `chance`: a rule that is left out
changes nothing about the others. At the end everything is healed and must come to its end.
"""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.simulation.documents import Documents
from tests.simulation.faults import AT_MESSAGES, AT_ONCE, AT_STATEMENTS, AT_TASKS, TABLE, Fault
from tests.simulation.rows import CLAIMED
from tests.simulation.schedule import Simulation
from tests.simulation.worker import Worker

#: Faults that wait for their state, and those that need none.
WAITING = sorted(pair for pair in TABLE if pair[0] not in AT_ONCE)
ANYWHERE = sorted({*AT_STATEMENTS, *AT_MESSAGES, *AT_TASKS})
COMMANDS = ("suspend", "resume", "cancel", "terminate", "retry")
SEEDS = 2_000

CHANCE = st.integers(0, 7)


class Turns(Random):
    """Who acts next, as Hypothesis has it; the first of all once it has nothing to say."""

    def __init__(self) -> None:
        super().__init__(0)
        self.left: list[float] = []

    def random(self) -> float:
        return self.left.pop(0) if self.left else 0.0


@cache
def seeds() -> list[int]:
    """Those with the fewest tasks first."""

    def size(seed: int) -> int:
        documents = Documents(Random(seed))
        documents.all()
        return documents.made

    return sorted(range(SEEDS), key=size)


class Machine(RuleBasedStateMachine):
    """One schedule."""

    @initialize(seed=st.integers(0, SEEDS - 1).map(lambda place: seeds()[place]))
    def begin(self, seed: int) -> None:
        self.turns = Turns()
        documents = Documents(Random(seed))
        self.simulation = Simulation(seed, documents=documents, turns=self.turns)
        self.simulation.faults.end()
        self.simulation.commands.clear()
        self.context = self.simulation.simulated()
        self.context.__enter__()
        self.broken = False

    @rule()
    def look_on(self) -> None:
        """Nothing: what has come to its end must have a rule left."""

    @property
    def goes_on(self) -> bool:
        return not self.broken and not self.simulation.settled()

    @precondition(lambda self: self.goes_on)
    @rule(turns=st.integers(1, 100), order=st.integers(0, 2**16 - 1))
    def act(self, turns: int, order: int) -> None:
        """So many turns, in one of many orders: several of these make any."""
        random = Random(order)
        self.turns.left = [random.random() for _ in range(turns)]
        for _ in range(turns):
            if self.goes_on:
                self._guarded(self.simulation.act)

    @precondition(lambda self: self.goes_on)
    @rule(pair=st.sampled_from(WAITING), chance=CHANCE)
    def arm(self, pair: tuple[str, str], chance: int) -> None:
        self._arm(*pair, chance)

    @precondition(lambda self: self.goes_on)
    @rule(kind=st.sampled_from(ANYWHERE), chance=CHANCE)
    def arm_anywhere(self, kind: str, chance: int) -> None:
        self._arm(kind, None, chance)

    @precondition(lambda self: self.goes_on)
    @rule(kind=st.sampled_from(sorted(AT_ONCE)), chance=CHANCE)
    def strike(self, kind: str, chance: int) -> None:
        self.simulation.faults.random = Random(chance)
        self._guarded(lambda: self.simulation.strike(kind))

    @property
    def at_work(self) -> list[Worker]:
        """The workers that have something in hand."""
        live = self.simulation.tables.live.values()
        ids = {row.worker for row in live if row.value.state is CLAIMED}
        workers = self.simulation.workers.values()
        return [one for one in workers if one.id in ids and one.main.alive]

    @precondition(lambda self: self.goes_on and self.at_work)
    @rule()
    def lose_host(self) -> None:
        """Of a worker in the midst of its work nothing is left."""
        for process in self.at_work[0].processes:
            self.simulation.loop.kill(process)

    @precondition(lambda self: self.goes_on)
    @rule(command=st.sampled_from(COMMANDS), chance=CHANCE)
    def command(self, command: str, chance: int) -> None:
        self.simulation.faults.random = Random(chance)
        self._guarded(lambda: self.simulation.command(command))

    def _arm(self, kind: str, state: str | None, chance: int) -> None:
        self.simulation.faults.random = Random(chance)
        self.simulation.faults.armed.append(Fault(kind, state, 0))

    def _guarded(self, do) -> None:
        try:
            do()
        except BaseException:
            self.broken = True
            raise

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        try:
            if not self.broken:
                self.simulation.finish()
        finally:
            self.simulation.loop.close()
            self.context.__exit__(None, None, None)


def examples(most: int) -> settings:
    """As many as this, the same ones each time."""
    return settings(
        max_examples=most,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )


TestMachine = Machine.TestCase
TestMachine.settings = examples(40)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestMachineForLong(Machine.TestCase):  # type: ignore[misc,valid-type]
    """More of it."""

    settings = examples(1_000)
