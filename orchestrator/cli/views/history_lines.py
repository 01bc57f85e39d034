"""Formats history rows as lines of text. All content comes from the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.client import Client, Step
from orchestrator.terminal_text import visible

Names = Mapping[int, str]


def names_of(steps: Iterable[Step]) -> dict[int, str]:
    """Return the display name of each step, by its number."""
    return {step.id: _name(step) for step in steps}


def _name(step: Step) -> str:
    index = step.data.get("index")
    name = step.name if index is None else f"{step.name}[{index}]"
    return name if step.compensates is None else f"{name} (undoing)"


def error_line(error: Mapping[str, Any]) -> str:
    """Format a DSL error as one line."""
    title = error.get("title") or str(error.get("type", "")).rsplit("/", 1)[-1]
    parts = [f"{title} ({error.get('status')})", error.get("detail"), error.get("instance")]
    return visible(" · ".join(str(part) for part in parts if part))


def person(data: Mapping[str, Any]) -> str:
    """Format the person and the reason of a command, from ``{by?, reason?}``."""
    by, reason = data.get("by"), data.get("reason")
    parts = [f"by {by}"] if isinstance(by, str) else []
    return ": ".join([*parts, *([str(reason)] if reason else [])])


@dataclass(frozen=True)
class FactLine:
    """A fact of a transition, with its `data` in the history; `step` is None for the instance
    itself."""

    type: str
    step: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def fact_and_step(self, names: Names) -> str:
        """Return the type of the fact and the name of its step."""
        if not self.step:
            return self.type
        return f"{self.type} {names.get(self.step, f'step {self.step}')}"

    def details(self) -> str:
        """Return the details of the fact: delay of a retry, person and reason, error."""
        data = self.data
        parts = [f"{name} {data[name]}" for name in _SHOWN_BY_NAME if data.get(name) is not None]
        if isinstance(data.get("in"), int | float):
            parts.insert(0, f"again in {data['in']:g} s" if data["in"] else "again at once")
        if data.get("unknown"):
            parts.append("the outcome is unknown")
        parts.append(person(data))
        if isinstance(data.get("error"), Mapping):
            parts.append(error_line(data["error"]))
        return "  ".join(part for part in parts if part)


#: Members of a fact's data that are printed after their names.
_SHOWN_BY_NAME = ("attempt", "retry", "run", "from", "command", "compensation")


def facts_of(entry: Mapping[str, Any]) -> list[FactLine]:
    """Return the facts of a history row."""
    return [
        FactLine(fact["type"], fact["step"], _mapping(fact.get("data"))) for fact in entry["facts"]
    ]


def stimulus_of(entry: Mapping[str, Any]) -> str:
    """Return the stimulus of a transition; for a command with its name, person and reason."""
    stimulus = entry["stimulus"]
    data = _mapping(stimulus.get("data"))
    parts = [stimulus.get("kind"), data.get("command"), person(data)]
    return " ".join(str(part) for part in parts if part)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class HistoryFormatter:
    """Formats transitions of an instance as lines; loads the names of steps when needed."""

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self._id = id
        self._names: dict[int, str] = {}

    def lines(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """Yield a line for each fact: number and time of the transition, the fact, its details."""
        for entry in entries:
            for fact in facts_of(entry):
                if fact.type == "task.created":
                    continue  # its start follows in the same transition
                if fact.step and fact.step not in self._names:
                    self._names = names_of(self._client.steps(self._id))
                text = "  ".join(filter(None, (fact.fact_and_step(self._names), fact.details())))
                yield f"{entry['sequence']:>4}  {clock(entry)}  {text}"


def clock(entry: Mapping[str, Any]) -> str:
    """Return the time of day of a transition (UTC), to the millisecond."""
    return str(entry["at"])[11:23]
