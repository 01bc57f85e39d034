"""``self.replace(signature)`` in a step: what replaces the task runs in its place.

The step's attempt and its lease stay what they are, so the replacement runs in the same slot,
at once or when its countdown is over, and its end is the step's. One task runs through
Celery's tracer like any step; a chain, group or chord is applied here, one part after the
other: its messages could be lost, and nobody would know that the step had ended.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.result import allow_join_result

from orchestrator.clock import now
from orchestrator.execution.celery_trace_result import failed, ignored
from orchestrator.execution.step import celery_request
from orchestrator.execution.step.task_arguments import Arguments

if TYPE_CHECKING:
    from celery.canvas import Signature

    from orchestrator.execution.step.running_attempt import RunningAttempt

_CALLBACKS = ("link", "link_error", "chord")


def is_composite(replaced: RunningAttempt) -> bool:
    """Whether more than one task takes the place of the replaced one."""
    signature = _of(replaced)
    if signature.get("subtask_type") or signature.get("task") not in replaced.task.app.tasks:
        return True
    return any(signature.options.get(name) for name in _CALLBACKS)


def task_of(replaced: RunningAttempt) -> Any:
    """The task that takes the place; of a composite one the replaced task itself."""
    if is_composite(replaced):
        return replaced.task
    return replaced.task.app.tasks[_of(replaced)["task"]]


def request_of(replaced: RunningAttempt, request: dict[str, Any]) -> dict[str, Any]:
    """The request of the task that takes the place."""
    signature = _of(replaced)
    args, kwargs = list(signature.args or ()), dict(signature.kwargs or {})
    changed = dict(request)
    celery_request.sanitize(changed, replaced.work, Arguments(args, kwargs, replaced.secrets))
    nesting = (request.get("replaced_task_nesting") or 0) + 1
    changed.update(task=signature["task"], retries=0, replaced_task_nesting=nesting)
    _wait_for(signature.options)
    return changed


def run_composite(hold: RunningAttempt, replaced: RunningAttempt) -> Any:
    """Apply a chain, group or chord here; its result is the step's."""
    try:
        hold.run_body(lambda: _applied(_of(replaced)))
    except Exception as error:  # noqa: BLE001  committed by carry_out; Celery is told below
        return failed(error)
    return ignored("Replaced by new task")


def _applied(signature: Signature[Any]) -> Any:
    # Celery forbids a task to wait for others; these have run when `apply` returns.
    with allow_join_result():
        result: Any = signature.apply()
        return result.get(disable_sync_subtasks=False)


def _of(replaced: RunningAttempt) -> Signature[Any]:
    assert replaced.replacement is not None  # noqa: S101  whoever asks has looked
    return replaced.replacement


def _wait_for(options: dict[str, Any]) -> None:
    seconds = options.get("countdown")
    eta = options.get("eta")
    if isinstance(eta, datetime):
        seconds = (
            (eta if eta.tzinfo else eta.replace(tzinfo=now().tzinfo)) - now()
        ).total_seconds()
    if seconds and seconds > 0:
        threading.Event().wait(float(seconds))
