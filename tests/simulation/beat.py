"""The simulated beats: the real maintenance loop over the simulated database, and a wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.database.connection.database import LockTimeout
from orchestrator.errors import DatabaseUnavailable
from orchestrator.scheduler.maintenance_loop import MaintenanceLoop
from orchestrator.settings import Settings
from tests.simulation.simulated_clock import Place, Process

if TYPE_CHECKING:
    from tests.simulation.schedule import Simulation

#: As `execution.beat` has it, in s.
PATIENCE = 0.5
RESTART = 1.0


class Beat:
    """One beat; a new one replaces it when it dies."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.simulation = simulation
        self.name = name
        self.process = Process(name, "beat")
        self.process.on_death = self._died
        self.place: Place | None = None
        self.told = True
        simulation.loop.spawn(self.process, "starts", self._run)

    def _run(self) -> None:
        simulation, loop = self.simulation, self.simulation.loop
        settings = Settings(lease=simulation.lease, republish_after=simulation.patience)
        state = simulation.manager()
        jobs = MaintenanceLoop(settings, simulation.maintenance_store, state, lambda: loop.now)
        while True:
            told, self.told = self.told, False
            try:
                pause = jobs.run(announced=told)
                if self.told:  # meanwhile
                    pause = 0.0
            except LockTimeout:
                pause, self.told = 0.0, True
            except DatabaseUnavailable:
                pause, self.told = PATIENCE, True
            self.place = loop.place()
            loop.park("asleep", loop.now + pause)

    def wake(self) -> None:
        """Wake the beat: a process armed a timer."""
        self.told = True
        if self.place is not None:
            self.simulation.loop.wake(self.place)

    def _died(self) -> None:
        simulation, loop = self.simulation, self.simulation.loop
        loop.at(loop.now + RESTART, lambda: simulation.start_beat(self.name))
