"""Whether a step is alone in its instance: then nobody else is likely to change it, and its
transition is saved optimistically; otherwise the row lock is cheaper (DESIGN, How an instance
moves)."""

from __future__ import annotations

from orchestrator.core.values import Slice

#: Kinds of tasks whose children run side by side.
PARALLEL = frozenset({"fork", "listen"})


def is_alone(slice: Slice) -> bool:
    """No ancestor of the step runs children side by side."""
    for step in slice.steps.values():
        if step.open > 1 or step.kind in PARALLEL:
            return False
    return slice.instance.open <= 1
