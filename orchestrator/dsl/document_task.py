"""`Task`: a task of a document, with what every kind of task can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, Self

from orchestrator.dsl import expression_nodes as nodes
from orchestrator.dsl.celery_arguments import checked_call
from orchestrator.dsl.errors import BuildError
from orchestrator.dsl.expression import Expression
from orchestrator.dsl.origin import NOWHERE, Origin, located, origin
from orchestrator.dsl.values import Duration, Inner, condition, data, duration, given

if TYPE_CHECKING:
    from celery import Task as CeleryTask

Json = Any
P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class Task(Inner):
    """A task. It is never changed: every method returns another task.

    `body` is the task of the document: JSON in which expressions, and tasks with their names, are
    still values of this package. `word` names it if the author does not. All copies of a task
    have its `key`, so `result` of one of them is that of the step.
    """

    word: str
    body: dict[str, Json]
    name: str | None = None
    place: Origin = NOWHERE
    exports: Mapping[str, Json] = field(default_factory=dict)
    key: object = field(default_factory=object)

    def __repr__(self) -> str:
        return f"<Task {self.name or self.word}>"

    @property
    def result(self) -> Expression:
        """The result of this step, for later steps. The step then exports it to the context."""
        return Expression(nodes.StepResult(self.key))

    def named(self, name: str) -> Self:
        """Name the task. Else it is named like what it does."""
        return replace(self, name=name)

    def when(self, condition_: Expression | bool) -> Self:
        """Run the task only if a condition holds; `result` is the result of the step before."""
        return self._with(**{"if": condition(condition_)})

    def then(self, target: str | Task) -> Self:
        """Say what runs next: a task of the same list, or ``"continue"``, ``"exit"``, ``"end"``."""
        return self._with(then=target)

    def input(self, value: object = None, *, schema: Json = None) -> Self:
        """Replace the task's input; `schema` is what it must fit."""
        return self._with(input=given(schema=schema_of(schema), **{"from": data(value)}))

    def output(self, value: object = None, *, schema: Json = None) -> Self:
        """Replace the task's output, of which `result` is the result; `schema` is what it must
        fit."""
        return self._with(output=given(schema=schema_of(schema), **{"as": data(value)}))

    def export(self, **values: object) -> Self:
        """Add values to the context: ``export(total=result.total)`` is ``context.total``."""
        return replace(self, exports={**self.exports, **data(values)})

    def export_as(self, value: object, *, schema: Json = None) -> Self:
        """Replace the whole context."""
        return self._with(export=given(schema=schema_of(schema), **{"as": data(value)}))

    def timeout(self, after: Duration | None = None, *, use: str | None = None) -> Self:
        """Limit the time of the task, or name a timeout of `use`."""
        limit = use if after is None else {"after": duration(after)}
        return self._with(timeout=limit)

    def metadata(self, **keys: Json) -> Self:
        """Add keys of the author's or the product's, such as ``maxStarts=1``."""
        return self._with(metadata={**self.body.get("metadata", {}), **data(keys)})

    def on(self, queue: str | Expression | None = None, *, priority: int | None = None) -> Self:
        """Choose the Celery queue of the call, and its priority from 0 to 9, the most urgent."""
        return self.metadata(**given(queue=queue, priority=priority))

    def compensate(self, by: CeleryTask[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Self:
        """Say how the completed step is undone: by a Celery task with these arguments, in which
        `result` is the result of this step. Raises `BuildError` as `call` does."""
        return self.compensate_by(Task(*checked_call(by, args, kwargs), place=origin()))

    def compensate_by(self, undo: Task | None) -> Self:
        """Say how the completed step is undone: by any task, in which `result` is the result of
        this step. None: not at all, although the Celery task says how (`compensated_by`)."""
        if undo is not None:
            return self.metadata(compensate=undo)
        kept = {**self.body.get("metadata", {})}
        kept.pop("compensate", None)
        body = {name: value for name, value in self.body.items() if name != "metadata"}
        return replace(self, body={**body, **given(metadata=kept or None)})

    def _with(self, **keys: Json) -> Self:
        return replace(self, body={**self.body, **keys})


def task(word: str, **body: Json) -> Task:
    """Return a task made at the user's line."""
    return Task(word, body, place=origin())


def named_tasks(tasks: tuple[Task, ...], named: Mapping[str, Task]) -> list[Task]:
    """Return the tasks of a list; those given by keyword have its name."""
    for each in (*tasks, *named.values()):
        _require_task(each)
    return [*tasks, *(each.named(name) for name, each in named.items())]


def _require_task(each: object) -> None:
    if isinstance(each, Task):
        return
    message = f"a step is made by call(...), wait(...), fork(...) and so on, not {each!r}"
    if callable(getattr(each, "delay", None)):
        message = f"write call({getattr(each, 'name', each)}, ...) to make a step of a task"
    raise BuildError(located(origin(), message))


def schema_of(schema: Json) -> Json:
    """Return a schema of the document; a JSON Schema becomes one."""
    if schema is None or "document" in schema or "resource" in schema:
        return schema
    return {"format": "json", "document": schema}
