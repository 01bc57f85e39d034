"""What the running thread is busy with. Context variables, so that it follows a task into
``asyncio`` and ``asyncio.to_thread``, and never leaks into another thread of the pool."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.execution.chain import Chain
    from orchestrator.execution.hold import Hold

#: The claimed attempt whose task runs here; None outside a workflow.
in_hand: ContextVar[Hold | None] = ContextVar("in_hand", default=None)

#: The chain that a control task may add a step to; None outside of one.
open_chain: ContextVar[Chain | None] = ContextVar("open_chain", default=None)


def ids() -> dict[str, Any]:
    """What a log line says of the step in hand, whoever writes it."""
    hold = in_hand.get()
    if hold is None:
        return {}
    work = hold.work
    found = {"instance": work.instance_id, "step": work.step.id, "attempt": work.attempt.id}
    if work.trace:
        found["trace_id"] = work.trace["traceparent"].split("-")[1]
    return found
