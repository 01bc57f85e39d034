"""A history row as lines. Everything said is in the row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.client import Client, Step

Names = Mapping[int, str]


def names_of(steps: Iterable[Step]) -> dict[int, str]:
    """What to call each step of an instance."""
    return {step.id: _name(step) for step in steps}


def _name(step: Step) -> str:
    index = step.data.get("index")
    name = step.name if index is None else f"{step.name}[{index}]"
    return name if step.compensates is None else f"{name} (undoing)"


@dataclass(frozen=True)
class Fact:
    """One thing that a transition brought about; `step` is None for the instance itself."""

    type: str
    step: int | None = None

    def sentence(self, names: Names) -> str:
        """Its type, and the step that it is about."""
        if not self.step:
            return self.type
        return f"{self.type} {names.get(self.step, f'step {self.step}')}"


def facts_of(entry: Mapping[str, Any]) -> list[Fact]:
    """The facts of a history row."""
    return [Fact(fact["type"], fact["step"]) for fact in entry["facts"]]


class Teller:
    """Tells transitions as they come; asks for the steps' names when new ones appear."""

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self._id = id
        self._names: dict[int, str] = {}

    def tell(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """One line for each fact: number of the transition, time, what happened to what."""
        for entry in entries:
            for fact in facts_of(entry):
                if fact.type == "task.created":
                    continue  # its start follows in the same transition
                if fact.step and fact.step not in self._names:
                    self._names = names_of(self._client.steps(self._id))
                yield f"{entry['sequence']:>4}  {clock(entry)}  {fact.sentence(self._names)}"


def clock(entry: Mapping[str, Any]) -> str:
    """The time of day of a transition (UTC), to the millisecond."""
    return str(entry["at"])[11:23]
