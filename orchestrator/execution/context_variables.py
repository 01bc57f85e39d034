"""The attempt and the runner of the current thread.

They are context variables: their values follow a task into ``asyncio`` and
``asyncio.to_thread``, and stay invisible to the pool's other threads."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.execution.internal_protocols import CurrentAttempt, CurrentRunner

#: The claimed attempt whose task this thread runs; None outside a workflow.
current_attempt: ContextVar[CurrentAttempt | None] = ContextVar("current_attempt", default=None)

#: The runner to which the task of a hint may add a step; None outside such a task.
current_runner: ContextVar[CurrentRunner | None] = ContextVar("current_runner", default=None)


def log_fields() -> dict[str, Any]:
    """Return the log fields of the step that this thread runs; empty outside a workflow."""
    running = current_attempt.get()
    if running is None:
        return {}
    claimed = running.claimed
    fields = {
        "instance": claimed.instance_id,
        "step": claimed.step.id,
        "attempt": claimed.attempt.id,
    }
    if claimed.trace:
        fields["trace_id"] = claimed.trace["traceparent"].split("-")[1]
    return fields
