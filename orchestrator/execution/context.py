"""What the running thread is busy with. Context variables, so that it follows a task into
``asyncio`` and ``asyncio.to_thread``, and never leaks into another thread of the pool."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.execution.chain import Chain
    from orchestrator.execution.hold import Hold

#: The claimed attempt whose task runs here; None outside a workflow.
in_hand: ContextVar[Hold | None] = ContextVar("in_hand", default=None)

#: The chain that a control task may add a step to; None outside of one.
open_chain: ContextVar[Chain | None] = ContextVar("open_chain", default=None)
