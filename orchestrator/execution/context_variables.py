"""What the running thread is busy with. Context variables, so that it follows a task into
``asyncio`` and ``asyncio.to_thread``, and never leaks into another thread of the pool."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.execution.internal_protocols import CurrentAttempt, CurrentRunner

#: The claimed attempt whose task runs here; None outside a workflow.
current_attempt: ContextVar[CurrentAttempt | None] = ContextVar("current_attempt", default=None)

#: The chain that a control task may add a step to; None outside of one.
current_runner: ContextVar[CurrentRunner | None] = ContextVar("current_runner", default=None)


def log_fields() -> dict[str, Any]:
    """What a log line says of the step in hand, whoever writes it."""
    hold = current_attempt.get()
    if hold is None:
        return {}
    work = hold.work
    found = {"instance": work.instance_id, "step": work.step.id, "attempt": work.attempt.id}
    if work.trace:
        found["trace_id"] = work.trace["traceparent"].split("-")[1]
    return found
