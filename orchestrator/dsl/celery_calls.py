"""Steps that run Celery tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec

from orchestrator.dsl.celery_arguments import checked_call, named_call
from orchestrator.dsl.document_task import Task
from orchestrator.dsl.origin import origin

if TYPE_CHECKING:
    from celery import Task as CeleryTask

P = ParamSpec("P")


def call(celery_task: CeleryTask[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Task:
    """Return a step that runs a Celery task.

    An argument is a value of its parameter's type, or an expression. Raises `BuildError` for
    arguments that the task does not take. A compensation that the task has (`compensated_by`) is
    the step's.
    """
    from orchestrator.canvas.compensations import declared

    made = Task(*checked_call(celery_task, args, kwargs), place=origin())
    undo = declared(celery_task)
    if undo is None:
        return made
    by, undo_args, undo_kwargs = undo
    if isinstance(by, str):
        return made.compensate_by(call_by_name(by, *undo_args, **undo_kwargs))
    return made.compensate(by, *undo_args, **undo_kwargs)


def call_by_name(name: str, /, *args: object, **kwargs: object) -> Task:
    """Return a step that runs the Celery task of this name, which this process need not import.

    Nothing is checked: prefer `call` where the task can be imported.
    """
    return Task(*named_call(name, args, kwargs), place=origin())
