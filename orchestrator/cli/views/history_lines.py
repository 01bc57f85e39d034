"""A history row as lines. Everything said is in the row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cli.terminal_text import visible
from orchestrator.client import Client, Step

Names = Mapping[int, str]


def names_of(steps: Iterable[Step]) -> dict[int, str]:
    """What to call each step of an instance."""
    return {step.id: _name(step) for step in steps}


def _name(step: Step) -> str:
    index = step.data.get("index")
    name = step.name if index is None else f"{step.name}[{index}]"
    return name if step.compensates is None else f"{name} (undoing)"


def error_line(error: Mapping[str, Any]) -> str:
    """A DSL error in one line."""
    title = error.get("title") or str(error.get("type", "")).rsplit("/", 1)[-1]
    parts = [f"{title} ({error.get('status')})", error.get("detail"), error.get("instance")]
    return visible(" · ".join(str(part) for part in parts if part))


def person(told: Mapping[str, Any]) -> str:
    """Who wanted something, and why: of ``{by?, reason?}``."""
    by, reason = told.get("by"), told.get("reason")
    parts = [f"by {by}"] if isinstance(by, str) else []
    return ": ".join([*parts, *([str(reason)] if reason else [])])


@dataclass(frozen=True)
class FactLine:
    """One thing that a transition brought about; `step` is None for the instance itself. `data`
    is what history keeps with it."""

    type: str
    step: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def sentence(self, names: Names) -> str:
        """Its type, and the step that it is about."""
        if not self.step:
            return self.type
        return f"{self.type} {names.get(self.step, f'step {self.step}')}"

    def details(self) -> str:
        """Reason and delay of a retry, who wanted it and why, the error: what is known."""
        told = self.data
        parts = [f"{name} {told[name]}" for name in _COUNTED if told.get(name) is not None]
        if isinstance(told.get("in"), int | float):
            parts.insert(0, f"again in {told['in']:g} s" if told["in"] else "again at once")
        if told.get("unknown"):
            parts.append("the outcome is unknown")
        parts.append(person(told))
        if isinstance(told.get("error"), Mapping):
            parts.append(error_line(told["error"]))
        return "  ".join(part for part in parts if part)


#: Members of a fact's data that are shown by their names.
_COUNTED = ("attempt", "retry", "run", "from", "command", "compensation")


def facts_of(entry: Mapping[str, Any]) -> list[FactLine]:
    """The facts of a history row."""
    return [
        FactLine(fact["type"], fact["step"], _mapping(fact.get("data"))) for fact in entry["facts"]
    ]


def stimulus_of(entry: Mapping[str, Any]) -> str:
    """What caused a transition; of a command also which, and by whom."""
    stimulus = entry["stimulus"]
    told = _mapping(stimulus.get("data"))
    parts = [stimulus.get("kind"), told.get("command"), person(told)]
    return " ".join(str(part) for part in parts if part)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class Teller:
    """Tells transitions as they come; asks for the steps' names when new ones appear."""

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self._id = id
        self._names: dict[int, str] = {}

    def lines(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """One line for each fact: number of the transition, time, what happened to what."""
        for entry in entries:
            for fact in facts_of(entry):
                if fact.type == "task.created":
                    continue  # its start follows in the same transition
                if fact.step and fact.step not in self._names:
                    self._names = names_of(self._client.steps(self._id))
                said = "  ".join(filter(None, (fact.sentence(self._names), fact.details())))
                yield f"{entry['sequence']:>4}  {clock(entry)}  {said}"


def clock(entry: Mapping[str, Any]) -> str:
    """The time of day of a transition (UTC), to the millisecond."""
    return str(entry["at"])[11:23]
