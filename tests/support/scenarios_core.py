"""How a scenario is played against the core alone, in the world in memory."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.core.model import Attempt
from orchestrator.document import load
from orchestrator.testing.in_memory_rows import Rows
from orchestrator.testing.world import World
from tests.support.scenarios import LONG, Ended, Outcome, Scenario, Stepped, error_of, name_of


def play(scenario: Scenario) -> Outcome:
    """Play it to its end."""
    return Play(scenario).run()


class Play:
    """Plays a scenario: one thing at a time, as soon as it can be done."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = World(*(load(json.dumps(each)).document for each in scenario.documents()))
        self.commands = list(scenario.body.get("commands", ()))
        self.hanging: list[tuple[Attempt, str]] = []
        self.asked: list[str] = []
        self.refused = 0
        self.id = self.world.start("test/flow", scenario.body.get("with"))

    def run(self) -> Outcome:
        """Until nothing is left to happen."""
        for _ in range(1_000):
            if not self._step():
                ended = tuple(_ended(rows) for rows in self.world.rows.values())
                return Outcome(tuple(self.asked), self.refused, ended)
        raise AssertionError("the scenario does not end")

    def _step(self) -> bool:
        if self.world.ready():
            self._ask(self.world.ready()[0])
        elif self.hanging:
            self._release(*self.hanging.pop(0))
        elif self._is_soon():
            self.world.fire()
        elif self.commands and "after" in self.commands[0]:
            self._command(self.commands.pop(0))
        else:
            return False
        return True

    def _is_soon(self) -> bool:
        """Whether a timer is due that the scenario waits for: long ones only end by a command."""
        due = self.world.next_due()
        return due is not None and (due - self.world.now).total_seconds() < LONG

    def _ask(self, attempt: Attempt) -> None:
        task = attempt.task
        self.asked.append(task)
        nth = self.asked.count(task)
        answer = self.scenario.answer(task, nth)
        self.world.claim(attempt)
        for command in [one for one in self.commands if _is_meant(one, task, nth)]:
            self.commands.remove(command)
            self._command(command)
        if answer in ("hang", "hang-lost"):
            self.hanging.append((attempt, answer))
        elif answer == "lost":
            self.world.lose(attempt)
        else:
            self._answer(attempt, answer)

    def _answer(self, attempt: Attempt, answer: dict[str, Any]) -> None:
        arguments = self.world.call_of(attempt)["kwargs"]
        if "after" in answer:
            assert answer["after"] in self.asked
        if "error" in answer:
            self.world.fail(attempt, answer["error"])
        elif "retry" in answer:
            self.world.fail(attempt, {"status": 500}, retry_in=answer["retry"])
        elif "expects" in answer:
            assert arguments == answer["expects"]
            self.world.succeed(attempt)
        else:
            self.world.succeed(attempt, arguments if answer["ok"] == "echo" else answer["ok"])

    def _release(self, attempt: Attempt, how: str) -> None:
        if how == "hang-lost":
            self.world.lose(attempt)
        else:
            self.world.succeed(attempt, {"by": attempt.task})

    def _command(self, command: dict[str, Any]) -> None:
        data = {key: value for key, value in command.items() if key not in ("while", "after")}
        for key in ("from", "step"):
            if key in data:
                data[key] = self.world.step(self.id, data[key]).id
        refused = len(self.world.ignored)
        self.world.command(self.id, data.pop("command"), **data)
        self.refused += len(self.world.ignored) - refused


def _is_meant(command: dict[str, Any], task: str, nth: int) -> bool:
    return command.get("while") == task and command.get("nth", 1) == nth


def _ended(rows: Rows) -> Ended:
    instance = rows.instance
    assert instance.open_places == 0
    return Ended(
        instance.status,
        instance.compensation,
        instance.run,
        instance.output,
        error_of(instance.error),
        len(rows.dead_letters),
        tuple(_stepped(rows, id) for id in sorted(rows.steps)),
    )


def _stepped(rows: Rows, id: int) -> Stepped:
    step = rows.steps[id]
    attempts = sorted(
        (one for one in rows.attempts.values() if one.step == id), key=lambda one: one.number
    )
    return Stepped(
        name_of(step.reference),
        step.kind,
        step.index,
        step.status,
        step.outcome_unknown,
        None if step.compensates is None else name_of(rows.steps[step.compensates].reference),
        tuple(f"({one.state})" if one.withdrawn else one.state for one in attempts),
    )
