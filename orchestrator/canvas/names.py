"""Names of steps: readable, unique within the values that they stand for."""

from __future__ import annotations

import re
from typing import Any, Self

from orchestrator.canvas.shapes import Call, Guarded, Linked, Parallel, Row, Shape

#: Longest name of a step, and longest title, in characters.
MAX_NAME = 40
MAX_TITLE = 120

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")


class Scope:
    """An object of the input, at the jq path `path`, and the names of the steps that use it."""

    def __init__(self, path: str, depth: int = 0) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        self._depth = depth
        self._taken: set[str] = set()

    @property
    def variable(self) -> str:
        """The loop variable that holds this object."""
        return self.path.removeprefix("$")

    def inner(self) -> Scope:
        """Return the scope of a loop's item."""
        depth = self._depth + 1
        return Scope("$item" if depth == 1 else f"$item{depth}", depth)

    def fresh(self) -> Self:
        """Return this scope without names and values: for the next item of the loop."""
        return type(self)(self.path, self._depth)

    def at(self, name: str) -> str:
        """Return the expression of one value."""
        return f"${{ {self.path}.{name} }}"

    def name(self, task: str) -> str:
        """Return a new name after a task: the last part of the task's own name."""
        base = _NOT_IN_NAMES.sub("_", task.rpartition(".")[2])[:MAX_NAME] or "task"
        if base[0].isdigit():
            base = f"_{base}"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def title_of(shape: Shape) -> str:
    """Return a title that shows the tasks, without numbers and values."""
    title = _title(shape)
    return title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 3] + "..."


def _title(shape: Shape) -> str:
    match shape:
        case Call(task):
            return task.rpartition(".")[2]
        case Row(shapes):
            return " | ".join(_unrepeated([_title(one) for one in shapes[: MAX_TITLE + 8]]))
        case Parallel(members):
            return f"({', '.join(_unrepeated([_title(one) for one in members[:MAX_TITLE]]))})"
        case Guarded(inner, _):
            return _title(inner)
        case Linked(rest, _):
            return _title(rest) if rest is not None else "callbacks"


def _unrepeated(titles: list[str]) -> list[str]:
    """Return the titles; a repetition of the same one is shown once."""
    return [one for at, one in enumerate(titles) if at == 0 or one != titles[at - 1]]
