"""The scenarios of `tests/scenarios/cases`, and the outcome of one that was played."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.documents import doc
from tests.support.spec import yaml

CASES = Path(__file__).parents[1] / "scenarios" / "cases"

#: Pauses longer than this never end by themselves: only a command ends them (seconds).
LONG = 30


@dataclass(frozen=True)
class Scenario:
    """One scenario; the keys are explained in the folder's README."""

    name: str
    file: str
    body: dict[str, Any]

    def documents(self, namespace: str = "test") -> list[dict[str, Any]]:
        """Its workflow and the sub-workflows of that."""
        about = {"metadata": {"onFault": self.body["onFault"]}} if "onFault" in self.body else {}
        more = {key: self.body[key] for key in ("use", "timeout", "output") if key in self.body}
        children = [
            doc(*child["do"], about={"name": child["name"]})
            for child in self.body.get("children", ())
        ]
        made = [doc(*self.body["do"], about=about, **more), *children]
        text = json.dumps(made).replace('"namespace": "test"', f'"namespace": "{namespace}"')
        moved: list[dict[str, Any]] = json.loads(text)
        return moved

    def answer(self, task: str, nth: int) -> Any:
        """What a task does when it is asked for the n-th time (from 1)."""
        answers = self.body.get("answers", {}).get(task, [{"ok": {"by": task}}])
        return answers[min(nth, len(answers)) - 1]

    def tasks(self) -> set[str]:
        """The Celery tasks that it can ask for."""
        return {name for document in self.documents() for name in _called(document)}


@cache
def scenarios() -> tuple[Scenario, ...]:
    """All of them."""
    return tuple(
        Scenario(body["name"], path.stem, body)
        for path in sorted(CASES.glob("*.yaml"))
        for body in yaml(path.read_text())
    )


def _called(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("call"), str):
            yield value["call"]
        for member in value.values():
            yield from _called(member)
    elif isinstance(value, list):
        for member in value:
            yield from _called(member)


@dataclass(frozen=True)
class Stepped:
    """A step as it ended; `attempts` are the states of its attempts, in their order, those
    that were withdrawn in brackets; `undoes` is the task that it undid."""

    task: str
    kind: str
    index: int | None
    status: str
    unknown: bool
    undoes: str | None
    attempts: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """An instance as it ended. `order`: the tasks whose steps were undone, in that order."""

    status: str
    compensation: str
    run: int
    output: Any
    error: Any
    letters: int
    steps: tuple[Stepped, ...]

    @property
    def order(self) -> list[str]:
        return [step.undoes for step in self.steps if step.undoes is not None]

    @property
    def unknown(self) -> list[str]:
        return [step.task for step in self.steps if step.unknown]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a scenario: the tasks in the order of their calls, the number of refused
    commands, and the instances, that of the scenario first."""

    asked: tuple[str, ...]
    refused: int
    instances: tuple[Ended, ...]


def name_of(reference: str) -> str:
    """The last part of a step's reference."""
    return reference.rsplit("/", 1)[-1]


def error_of(error: Any) -> Any:
    """An error without what its watcher said of how a process died."""
    if not error or " (started" not in error.get("detail", ""):
        return error
    _, told, rest = error["detail"].partition(" (started")
    return {**error, "detail": told + rest}


def check(outcome: Outcome, expect: Mapping[str, Any]) -> None:
    """Compare with the file's expectation."""
    ended = outcome.instances[0]
    assert list(outcome.asked) == expect["asked"]
    assert ended.status == expect["status"]
    assert ended.compensation == expect.get("compensation", "none")
    assert ended.run == expect.get("run", 1)
    if "output" in expect:
        assert ended.output == expect["output"]
    for name, value in expect.get("error", {}).items():
        assert ended.error[name] == value
    assert ended.letters == expect.get("letters", 0)
    assert ended.unknown == expect.get("unknown", [])
    assert outcome.refused == expect.get("refused", 0)
