"""The simulated API and its clients, which repeat a request until it is answered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.connection.database import LockTimeout
from orchestrator.errors import DatabaseUnavailable
from orchestrator.state_manager import StateManager
from orchestrator.state_manager.post_commit import written_to
from tests.simulation.simulated_clock import Place, Process

if TYPE_CHECKING:
    from tests.simulation.schedule import Simulation

T = TypeVar("T")

RESTART = 1.0
COMMAND = StimulusKind.COMMAND


class Api:
    """One API process; a new one replaces it when it dies."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.process = Process("api", "api")
        self.process.on_death = self._died
        self.state: StateManager = simulation.manager()
        self.commander = simulation.commander()
        self.callers: list[Place] = []

    def start(self, id: str, workflow: str, input: Json, key: str) -> str:
        """`POST /v1/instances` with an idempotency key; the instance that it stands for."""
        database, tables = self.simulation.database, self.simulation.tables
        found = database.statement("start", lambda: tables.start(id, workflow, input, key))
        self.state.dispatcher.hint(found)
        return found

    def command(self, instance: str, command: str, key: str) -> str:
        """`POST /v1/instances/{id}/{command}` with an idempotency key: "decided", "left" as a
        note, or "refused"."""
        tables, store = self.simulation.tables, self.simulation.store
        data = {"command": command, "by": key}
        written = [instance]
        try:
            with store.deciding(instance) as view:
                if key in tables.answers:
                    return tables.answers[key]
                outcome = self.commander.decide(view, instance, data)
                if outcome.refused is not None:
                    answer = "refused"
                else:
                    answer = "decided" if outcome.decided else "left"
                    view.write("record", lambda: tables.record(key, answer))
                if answer == "left":
                    view.write("put", lambda: tables.put(instance, COMMAND, data=data))
        except LockTimeout:
            answer = self.simulation.database.statement(
                "put", lambda: tables.put_once(key, instance, data)
            )
        else:
            written += [id for each in outcome.saved for id in written_to(each)]
        self.state.dispatcher.hint(*dict.fromkeys(written))
        return answer

    def _died(self) -> None:
        simulation, loop = self.simulation, self.simulation.loop
        for place in self.callers:
            loop.wake(place)
        loop.at(loop.now + RESTART, simulation.start_api)


class Client:
    """An external client: never killed, never stopped."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.loop = simulation.loop
        self.process = Process("client", "client")

    def start(self, workflow: str, input: Json, key: str) -> None:
        """Start an instance and remember what was acknowledged (I1)."""
        simulation = self.simulation

        def run() -> None:
            id = simulation.new_uuid()
            found = self._ask(lambda api: api.start(id, workflow, input, key))
            simulation.watch.acknowledged(key, found)
            if simulation.random.random() < 0.3:  # the client forgot that it had an answer
                other = simulation.new_uuid()
                again = self._ask(lambda api: api.start(other, workflow, input, key))
                simulation.watch.acknowledged(key, again)

        self.loop.spawn(self.process, "starts", run)

    def command(self, instance: str, command: str) -> None:
        """Command an instance, and remember how that was answered."""
        key = f"command {self.simulation.new_id()}"

        def run() -> None:
            answer = self._ask(lambda api: api.command(instance, command, key))
            self.simulation.watch.commanded(instance, key, answer)

        self.loop.spawn(self.process, "commands", run)

    def _ask(self, request: Callable[[Api], T]) -> T:
        """Repeat the request until there is an answer."""
        while True:
            api, answers = self.simulation.api, list[T]()
            place = self.loop.place()

            def serve(api: Api = api, answers: list[T] = answers, place: Place = place) -> None:
                with suppress(DatabaseUnavailable):  # that is a 503
                    answers.append(request(api))
                self.loop.wake(place)

            if api.process.alive:
                api.callers.append(place)
                self.loop.spawn(api.process, "serves", serve)
                self.loop.park("awaits an answer")
            if answers:
                return answers[0]
            self.loop.sleep(0.3)
