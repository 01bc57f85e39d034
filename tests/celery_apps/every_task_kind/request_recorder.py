"""Notes everything that a task can see of its own run: its whole request, and every signal.

Loaded where ZOO_OBSERVE is set. The notes of a run as a step are laid beside those of a run in
a plain Celery worker.
"""

from __future__ import annotations

from typing import Any

from celery import Task, current_task, shared_task, signals
from celery.app.task import Context

from tests.celery_apps.every_task_kind.tasks import Hooked, seen


def request_of(task: Task) -> dict[str, Any]:
    """Every member of a task's request, those that Celery has added included."""
    request = task.request
    names = {*vars(Context), *vars(request)} - {"children"}
    return {
        name: getattr(request, name)
        for name in sorted(names)
        if not name.startswith("_") and not callable(getattr(request, name))
    }


@shared_task(name="zoo.witness", bind=True, base=Hooked, max_retries=5)
def witness(self, a, *, until=1, fail=False):
    """Looks at itself from inside; returns, fails, or asks for another try first."""
    request = request_of(self)
    seen("inside", id=self.request.id, current=current_task.name, request=request)
    if self.request.retries + 1 < until:
        raise self.retry(countdown=0, exc=RuntimeError("again"))
    if fail:
        raise KeyError(a)
    return {"a": a}


def _note(what: str, task: Task, **facts: Any) -> None:
    # Without an id it is the main process that tells: it is not inside.
    if task.name.startswith("zoo.") and task.request.id:
        seen(what, id=task.request.id, name=task.name, **facts)


@signals.task_prerun.connect
def prerun(task_id, task, args, kwargs, **_):
    request = request_of(task)
    _note(
        "prerun", task, same=task_id == task.request.id, args=args, kwargs=kwargs, request=request
    )


@signals.task_postrun.connect
def postrun(task_id, task, args, kwargs, retval, state, **_):
    facts = {"same": task_id == task.request.id}
    _note("postrun", task, args=args, kwargs=kwargs, retval=retval, state=state, **facts)


@signals.task_success.connect
def success(sender, result, **_):
    _note("success", sender, result=result)


@signals.task_failure.connect
def failure(sender, task_id, exception, args, kwargs, **_):
    _note("failure", sender, args=args, kwargs=kwargs, error=repr(exception))


@signals.task_retry.connect
def retry(sender, request, reason, **_):
    same = request.id == sender.request.id
    _note("retry", sender, same=same, retries=request.retries, error=str(reason))


@signals.task_internal_error.connect
def internal_error(sender, exception, **_):
    _note("internal_error", sender, error=repr(exception))
