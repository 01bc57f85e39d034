"""The steps of an instance, as a test looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.core.model import Attempt, Json, Step
from orchestrator.document.model import unescape
from orchestrator.testing.errors import UnknownStep, did_you_mean
from orchestrator.testing.in_memory_rows import Rows


@dataclass(frozen=True)
class StepView:
    """One step. `attempts`: how many it has had; `starts`: how many of them a worker began.

    `status`: pending, running, waiting, suspended, cancelled, faulted or completed. `unknown`: it
    ran, or may have run, without a recorded result. `undoes`: the name of the task that it undid;
    `undone`: whether a compensation has undone it.
    """

    name: str
    reference: str
    kind: str
    status: str
    input: Json
    output: Json
    error: Json
    index: int | None
    attempts: int
    starts: int
    states: tuple[str, ...]
    unknown: bool
    undoes: str | None
    undone: bool


class Steps(Mapping[str, StepView]):
    """The steps of an instance by the names of their tasks; of a task with several steps (a loop)
    the newest. `all` has each of them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def all(self, name: str | None = None) -> list[StepView]:
        """Return every step in the order of creation, or those of one task; its compensations are
        steps of their own, named ``undo NAME``."""
        found = [self._view(step) for _, step in sorted(self._rows.steps.items())]
        return [step for step in found if name is None or step.name == name]

    def __getitem__(self, name: str) -> StepView:
        found = [step for _, step in sorted(self._rows.steps.items()) if name in self._names(step)]
        if not found:
            names = list(self)
            raise UnknownStep(
                f"no step {name!r} has begun{did_you_mean(name, names) or '.'}"
                f" Begun have: {', '.join(names) or 'none'}"
            )
        return self._view(found[-1])

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(step.name for step in self.all()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def undone(self) -> list[str]:
        """Return the names of the tasks that were undone, in that order."""
        return [step.undoes for step in self.all() if step.undoes and step.status == "completed"]

    def _names(self, step: Step) -> tuple[str, str]:
        return self._name(step), step.reference

    def _name(self, step: Step) -> str:
        if step.compensates is None:
            return name_of(step.reference)
        return f"undo {name_of(self._reference(step.compensates))}"

    def _reference(self, id: int) -> str:
        step = self._rows.steps.get(id)
        return step.reference if step is not None else ""

    def _attempts(self, step: Step) -> list[Attempt]:
        found = [one for one in self._rows.attempts.values() if one.step == step.id]
        return sorted(found, key=lambda one: one.number)

    def _view(self, step: Step) -> StepView:
        attempts = self._attempts(step)
        undoes = None if step.compensates is None else name_of(self._reference(step.compensates))
        return StepView(
            name=self._name(step),
            reference=step.reference,
            kind=step.kind,
            status=step.status.value,
            input=step.input,
            output=step.output,
            error=step.error,
            index=step.index,
            attempts=len(attempts),
            starts=sum(one.state.value not in ("ready", "withdrawn") for one in attempts),
            states=tuple(one.state.value for one in attempts),
            unknown=step.outcome_unknown,
            undoes=undoes,
            undone=any(
                one.compensates == step.id and one.status.value == "completed"
                for one in self._rows.steps.values()
            ),
        )


def name_of(reference: str) -> str:
    """Return the name of a task, the last part of its reference."""
    return unescape(reference.removesuffix("/metadata/compensate").rsplit("/", 1)[-1])
