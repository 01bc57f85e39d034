"""The simulation in Hypothesis' hands: whatever goes wrong shrinks to the fewest faults and turns.

A seed draws the documents and the rest; Hypothesis decides who acts next, which faults strike
where, and what people command. At the end everything is healed and must come to its end.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.simulation.faults import AT_ONCE, TABLE, Fault
from tests.simulation.schedule import Simulation

#: Faults that wait for their state, and those that need none.
WAITING = sorted(pair for pair in TABLE if pair[0] not in AT_ONCE)
COMMANDS = ("suspend", "resume", "cancel", "terminate", "retry")


class Turns(Random):
    """Who acts next, as Hypothesis has it; the first of all once it has nothing to say."""

    def __init__(self) -> None:
        super().__init__(0)
        self.left: list[float] = []

    def random(self) -> float:
        return self.left.pop(0) if self.left else 0.0


class Machine(RuleBasedStateMachine):
    """One schedule."""

    @initialize(seed=st.integers(0, 50_000))
    def begin(self, seed: int) -> None:
        self.simulation = Simulation(seed, turns=Turns())
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
    @rule(turns=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12))
    def act(self, turns: list[float]) -> None:
        self.simulation.loop.random.left = list(turns)  # type: ignore[attr-defined]
        for _ in turns:
            self._guarded(self.simulation.act)

    @precondition(lambda self: self.goes_on)
    @rule(pair=st.sampled_from(WAITING))
    def arm(self, pair: tuple[str, str]) -> None:
        self.simulation.faults.armed.append(Fault(*pair, 0))

    @precondition(lambda self: self.goes_on)
    @rule(kind=st.sampled_from(sorted(AT_ONCE)))
    def strike(self, kind: str) -> None:
        self._guarded(lambda: self.simulation.strike(kind))

    @precondition(lambda self: self.goes_on)
    @rule(command=st.sampled_from(COMMANDS))
    def command(self, command: str) -> None:
        self._guarded(lambda: self.simulation.command(command))

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


def _with(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )


TestMachine = Machine.TestCase
TestMachine.settings = _with(20)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestMachineForLong(Machine.TestCase):  # type: ignore[misc,valid-type]
    """More of it."""

    settings = _with(150)
