"""Keeps the states of steps out of the users' result backend.

A step's message forbids to store them by `ignore_result`. Before Celery 5.6 the tracer stores
STARTED, RETRY and FAILURE all the same.
"""

from __future__ import annotations

from typing import Any

from orchestrator.execution.context_variables import current_attempt


def refuse_steps(backend: Any) -> Any:
    """Return the result backend, which from now on stores nothing about the step that runs."""
    if "store_result" in vars(backend):
        return backend
    store = backend.store_result

    def store_result(task_id: str, result: Any, *args: Any, **kwargs: Any) -> Any:
        running = current_attempt.get()
        if running is not None and running.claimed.attempt.id == task_id:
            return result
        return store(task_id, result, *args, **kwargs)

    backend.store_result = store_result
    return backend
