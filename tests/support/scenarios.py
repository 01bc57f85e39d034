"""The scenarios of `tests/scenarios/cases`, and how they are played in the world in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.core.values import Attempt
from orchestrator.document import load
from tests.support.documents import doc
from tests.support.spec import yaml
from tests.support.world import World

CASES = Path(__file__).parents[1] / "scenarios" / "cases"


@dataclass
class Scenario:
    """One scenario; the keys are explained in the folder's README."""

    name: str
    file: str
    body: dict[str, Any]
    asked: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        about = {"metadata": {"onFault": self.body["onFault"]}} if "onFault" in self.body else {}
        more = {key: self.body[key] for key in ("use", "timeout", "output") if key in self.body}
        return doc(*self.body["do"], about=about, **more)

    def children(self) -> list[dict[str, Any]]:
        return [
            doc(*child["do"], about={"name": child["name"]})
            for child in self.body.get("children", ())
        ]


def scenarios() -> Iterator[Scenario]:
    """All of them."""
    for path in sorted(CASES.glob("*.yaml")):
        for body in yaml(path.read_text()):
            yield Scenario(body["name"], path.stem, body)


class Play:
    """Plays a scenario against the core: one thing at a time, as soon as it can be done."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        documents = [scenario.document(), *scenario.children()]
        self.world = World(*(load(json.dumps(document)).document for document in documents))
        self.commands = list(scenario.body.get("commands", ()))
        self.hanging: list[tuple[Attempt, str]] = []
        self.id = self.world.start("test/flow", scenario.body.get("with"))

    def run(self) -> World:
        """Until nothing is left to happen."""
        for _ in range(1_000):
            if not self._step():
                return self.world
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
        return due is not None and (due - self.world.now).total_seconds() < 30

    def _ask(self, attempt: Attempt) -> None:
        world, asked = self.world, self.scenario.asked
        task = attempt.task
        asked.append(task)
        answers = self.scenario.body.get("answers", {}).get(task, [{"ok": {"by": task}}])
        answer = answers[min(asked.count(task), len(answers)) - 1]
        world.claim(attempt)
        for command in [one for one in self.commands if one.get("while") == task]:
            self.commands.remove(command)
            self._command(command)
        if answer in ("hang", "hang-lost"):
            self.hanging.append((attempt, answer))
        elif answer == "lost":
            world.lose(attempt)
        else:
            self._answer(attempt, answer)

    def _answer(self, attempt: Attempt, answer: dict[str, Any]) -> None:
        arguments = self.world.call_of(attempt)["kwargs"]
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
        self.world.command(self.id, data.pop("command"), **data)
