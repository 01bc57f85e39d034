"""Records everything that a task can see of its own run: its full request and every signal.

The app loads it if ZOO_OBSERVE is set. Tests compare the records of a step with those of the same
task in a plain Celery worker.
"""

from __future__ import annotations

from typing import Any

from celery import Task, current_task, shared_task, signals
from celery.app.task import Context

from tests.celery_apps.every_task_kind.tasks import Hooked, seen


def request_of(task: Task) -> dict[str, Any]:
    """Return every member of a task's request, including those that Celery has added."""
    request = task.request
    names = {*vars(Context), *vars(request)} - {"children"}
    return {
        name: getattr(request, name)
        for name in sorted(names)
        if not name.startswith("_") and not callable(getattr(request, name))
    }


@shared_task(name="zoo.witness", bind=True, base=Hooked, max_retries=5)
def witness(self, a, *, until=1, fail=False):
    """Record the own request; then return, fail or retry."""
    request = request_of(self)
    seen("inside", id=self.request.id, current=current_task.name, request=request)
    if self.request.retries + 1 < until:
        raise self.retry(countdown=0, exc=RuntimeError("again"))
    if fail:
        raise KeyError(a)
    return {"a": a}


def _record(event: str, task: Task, **facts: Any) -> None:
    # Without an id this is the main process, which does not run the task.
    if task.name.startswith("zoo.") and task.request.id:
        seen(event, id=task.request.id, name=task.name, **facts)


@signals.task_prerun.connect
def prerun(task_id, task, args, kwargs, **_):
    request = request_of(task)
    _record(
        "prerun", task, same=task_id == task.request.id, args=args, kwargs=kwargs, request=request
    )


@signals.task_postrun.connect
def postrun(task_id, task, args, kwargs, retval, state, **_):
    facts = {"same": task_id == task.request.id}
    _record("postrun", task, args=args, kwargs=kwargs, retval=retval, state=state, **facts)


@signals.task_success.connect
def success(sender, result, **_):
    _record("success", sender, result=result)


@signals.task_failure.connect
def failure(sender, task_id, exception, args, kwargs, **_):
    _record("failure", sender, args=args, kwargs=kwargs, error=repr(exception))


@signals.task_retry.connect
def retry(sender, request, reason, **_):
    same = request.id == sender.request.id
    _record("retry", sender, same=same, retries=request.retries, error=str(reason))


@signals.task_internal_error.connect
def internal_error(sender, exception, **_):
    _record("internal_error", sender, error=repr(exception))
