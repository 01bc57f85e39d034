"""``self.replace(signature)`` in a step: runs the replacement under the same attempt.

The replacement runs in the same slot, at once or after its countdown, and its end is the step's.
A single task runs through Celery's tracer. A chain, group or chord becomes a workflow
(`replacement_workflow`). One that has no durable form is applied here, one part after the other:
as messages its parts could be lost, and the step would never end.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.result import allow_join_result

from orchestrator.clock import now
from orchestrator.execution.celery_hooks.celery_trace_result import failed, ignored
from orchestrator.execution.step import celery_request
from orchestrator.execution.step.task_arguments import Arguments

if TYPE_CHECKING:
    from celery.canvas import Signature

    from orchestrator.execution.step.running_attempt import RunningAttempt

_CALLBACKS = ("link", "link_error", "chord")


def is_composite(replaced: RunningAttempt) -> bool:
    """Return whether the replacement is more than one task."""
    signature = _replacement(replaced)
    if signature.get("subtask_type") or signature.get("task") not in replaced.task.app.tasks:
        return True
    return any(signature.options.get(name) for name in _CALLBACKS)


def task_of(replaced: RunningAttempt) -> Any:
    """Return the replacing task; the replaced task itself if the replacement is composite."""
    if is_composite(replaced):
        return replaced.task
    return replaced.task.app.tasks[_replacement(replaced)["task"]]


def request_of(
    replaced: RunningAttempt, request: dict[str, Any], chain: list[Any] | None
) -> dict[str, Any]:
    """Return the request of the replacing task, after its countdown."""
    signature = _replacement(replaced)
    args, kwargs = list(signature.args or ()), dict(signature.kwargs or {})
    changed = dict(request)
    arguments = Arguments(args, kwargs, replaced.secrets)
    celery_request.replace_untrusted_fields(changed, replaced.claimed, arguments, chain)
    nesting = (request.get("replaced_task_nesting") or 0) + 1
    changed.update(task=signature["task"], retries=0, replaced_task_nesting=nesting)
    _wait_for_countdown(signature.options)
    return changed


def run_composite(running: RunningAttempt, replaced: RunningAttempt) -> Any:
    """Apply a chain, group or chord; its result is the step's output."""
    try:
        running.run_body(lambda: _apply(_replacement(replaced)))
    except Exception as error:  # noqa: BLE001  `run_body` has committed it
        return failed(error)
    return ignored("Replaced by new task")


def _apply(signature: Signature[Any]) -> Any:
    # Allow `result.get()`, which Celery forbids in a task because it may wait for other tasks. Here
    # these have ended when `apply` returns.
    with allow_join_result():
        result: Any = signature.apply()
        return result.get(disable_sync_subtasks=False)


def _replacement(replaced: RunningAttempt) -> Signature[Any]:
    assert replaced.replacement is not None  # noqa: S101  callers have checked
    return replaced.replacement


def _wait_for_countdown(options: dict[str, Any]) -> None:
    seconds = options.get("countdown")
    eta = options.get("eta")
    if isinstance(eta, datetime):
        seconds = (
            (eta if eta.tzinfo else eta.replace(tzinfo=now().tzinfo)) - now()
        ).total_seconds()
    if seconds and seconds > 0:
        threading.Event().wait(float(seconds))
