"""The document of a workflow in code: names for its steps, jq for its expressions.

A step whose result is used elsewhere (`reserved.result`, `steps.reserve`) exports it: the context
has it under `steps`, as ``$context.steps.reserve``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from orchestrator.document.model import escape
from orchestrator.dsl import expression_nodes as nodes
from orchestrator.dsl.document_task import Task
from orchestrator.dsl.errors import BuildError
from orchestrator.dsl.expression import Expression, node_of
from orchestrator.dsl.jq_text import jq_text
from orchestrator.dsl.origin import Origin, located

Json = Any

#: Keys of a task in the order in which documents have them; those of its kind come after `input`.
_BEFORE, _AFTER = ("if", "input"), ("output", "export", "timeout", "then", "metadata")
_KEPT = nodes.Item(nodes.Root("$context"), nodes.Literal("steps"))


@dataclass
class Built:
    """A document, and the lines of code of its tasks by JSON pointer."""

    document: dict[str, Json]
    places: dict[str, Origin] = field(default_factory=dict)

    def place(self, pointer: str) -> Origin | None:
        """Return the line of the innermost task that contains a pointer."""
        while pointer and pointer not in self.places:
            pointer = pointer.rpartition("/")[0]
        return self.places.get(pointer)


def build(body: Mapping[str, Json]) -> Built:
    """Return the document of a workflow. Raises `BuildError` with the line of the code."""
    names = _Names(body)
    built = Built({})
    built.document = _Renderer(names, built.places).value(dict(body), "", ".", None)
    return built


class _Names:
    """The names of all tasks, and the tasks whose results are used."""

    def __init__(self, body: Json) -> None:
        self.of: dict[int, str] = {}
        self._by_key: dict[object, list[Task]] = {}
        self._used: list[tuple[Any, Task | None]] = []
        self._replaces: Task | None = None
        self._collect(body, None)
        self.exported = {self.task(step, at).key for step, at in self._used}
        self._refuse_replaced_context()

    def name(self, task: Task) -> str:
        """Return the name of a task in its list."""
        return self.of[id(task)]

    def task(self, step: Any, at: Task | None) -> Task:
        """Return the task that a reference means: a name, or the key of a task."""
        place = at.place if at is not None else Origin("", 0)
        if isinstance(step, str):
            found = [each for each in self._all() if self.of.get(id(each)) == step]
        else:
            found = self._by_key.get(step, [])
        if len(found) == 1:
            return found[0]
        raise BuildError(located(place, self._unclear(step, found)))

    def _unclear(self, step: Any, found: list[Task]) -> str:
        if found:
            name = self.of.get(id(found[0]), "a task")
            return f"{name!r} is in the workflow {len(found)} times: which result is meant?"
        if not isinstance(step, str):
            return "a result of a step that is not in the workflow"
        close = get_close_matches(step, list(self.of.values()), 1)
        return f"no step is named {step!r}" + (f", did you mean {close[0]!r}?" if close else "")

    def _all(self) -> Iterator[Task]:
        for tasks in self._by_key.values():
            yield from tasks

    def _collect(self, value: Json, at: Task | None) -> None:
        if isinstance(value, Expression):
            for node in nodes.inside(node_of(value)):
                if isinstance(node, nodes.StepResult):
                    self._used.append((node.step, at))
        elif isinstance(value, Task):
            self._collect_task(value)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                if name == "then" and isinstance(item, Task):
                    continue  # it names a task that stands elsewhere
                self._collect(item, at)
        elif isinstance(value, list):
            self._name_all([item for item in value if isinstance(item, Task)])
            for item in value:
                self._collect(item, at)

    def _collect_task(self, task: Task) -> None:
        self._by_key.setdefault(task.key, []).append(task)
        if "as" in task.body.get("export", {}):
            self._replaces = task
        self._collect(task.body, task)
        self._collect(task.exports, task)

    def _name_all(self, tasks: list[Task]) -> None:
        """Name the tasks of one list: those without a name like what they do, numbered."""
        taken = {task.name for task in tasks}
        for task in tasks:
            name = task.name or task.word
            number = 2
            while task.name is None and name in taken:
                name, number = f"{task.word}_{number}", number + 1
            taken.add(name)
            self.of[id(task)] = name

    def _refuse_replaced_context(self) -> None:
        if self._replaces is not None and self.exported:
            message = (
                "export_as() replaces the context, which also has the results of steps that are"
                " used elsewhere: use export(name=value)"
            )
            raise BuildError(located(self._replaces.place, message))


class _Renderer:
    """Renders values of a document. `result` is jq for the latest result at the place."""

    def __init__(self, names: _Names, places: dict[str, Origin]) -> None:
        self._names = names
        self._places = places

    def value(self, value: Json, pointer: str, result: str, at: Task | None) -> Json:
        """Return plain JSON."""
        if isinstance(value, Expression):
            return f"${{ {self._program(value, result, at)} }}"
        if isinstance(value, Task):
            return self._task(value, pointer, result)
        if isinstance(value, Mapping):
            return {
                name: self._member(name, item, f"{pointer}/{escape(name)}", result, at)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [
                self._item(item, f"{pointer}/{index}", result, at)
                for index, item in enumerate(value)
            ]
        return value

    def _member(self, name: str, value: Json, pointer: str, result: str, at: Task | None) -> Json:
        if name == "then" and isinstance(value, Task):
            return self._names.name(self._names.task(value.key, at))
        undone = name == "compensate" and isinstance(value, Task)
        return self.value(value, pointer, "$output" if undone else result, at)

    def _item(self, value: Json, pointer: str, result: str, at: Task | None) -> Json:
        if not isinstance(value, Task):
            return self.value(value, pointer, result, at)
        name = self._names.name(value)
        return {name: self._task(value, f"{pointer}/{escape(name)}", result)}

    def _task(self, task: Task, pointer: str, result: str) -> Json:
        self._places[pointer] = task.place
        body = {**task.body}
        exported = self._exported(task)
        if exported is not None:
            body["export"] = {**body.get("export", {}), "as": exported}
        kind = [name for name in body if name not in (*_BEFORE, *_AFTER)]
        ordered = {name: body[name] for name in (*_BEFORE, *kind, *_AFTER) if name in body}
        return self.value(ordered, pointer, result, task)

    def _exported(self, task: Task) -> Expression | None:
        """Return the new context after a task, if it exports anything."""
        kept = {name: node_of(value) for name, value in task.exports.items()}
        if task.key in self._names.exported:
            own = nodes.Object((self._names.name(task),), (nodes.Root("."),))
            kept["steps"] = nodes.Binary("+", _KEPT, own)
        if not kept:
            return None
        added = nodes.Object(tuple(kept), tuple(kept.values()))
        return Expression(nodes.Binary("+", nodes.Root("$context"), added))

    def _program(self, expression: Expression, result: str, at: Task | None) -> str:
        def step(reference: Any) -> str:
            name = self._names.name(self._names.task(reference, at))
            return jq_text(nodes.Item(_KEPT, nodes.Literal(name)), result, step)

        try:
            return jq_text(node_of(expression), result, step)
        except ValueError as error:  # a number that is not JSON
            raise BuildError(located(at.place if at else Origin("", 0), str(error))) from None
