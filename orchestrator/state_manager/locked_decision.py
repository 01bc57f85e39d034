"""Decides under the row lock, but evaluates outside of it.

A decision that needs the sandbox gives the lock back, evaluates on what it has read, and locks
again: in a quiet instance its expressions are known then. An instance that has changed each time is
decided under the lock at last, with a bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orchestrator.core.model import Slice
from orchestrator.state_manager.deliberation import Deliberation, EvaluationAsked
from orchestrator.state_manager.store_protocol import LockedView, Store

T = TypeVar("T")

#: Decisions that may give the lock back.
MAX_ROUNDS = 3


def decide_under_lock(
    store: Store,
    deliberation: Callable[[], Deliberation],
    run: Callable[[LockedView], T],
    evaluate_ahead: Callable[[Slice], None],
) -> T:
    """Return what `run` returns, which decides and saves in a transaction that has the lock.

    `evaluate_ahead` evaluates, without the lock, what the decision of a slice needs. `deliberation`
    returns the one that `run` uses, which may be a new one in each round. Raises what both raise.
    """
    for _ in range(MAX_ROUNDS):
        try:
            with store.locking() as view:
                return run(view)
        except EvaluationAsked as asked:
            if asked.slice is not None:  # `decide` has set it
                evaluate_ahead(asked.slice)
    deliberation().evaluate_under_lock()
    with store.locking() as view:
        return run(view)
