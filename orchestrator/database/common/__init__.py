"""The commonest transitions, recognised: those of a sequence of calls, and of a fork. Each has a
function of its own in Postgres, which takes half the time of `orchestrator.save`.

A shape is recognised only where the transition does what its function sets, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.core.values import Json, Transition
from orchestrator.database.common import branch, first, following, last

if TYPE_CHECKING:
    from orchestrator.database.transitions import Saving

Statement = Callable[["Saving", Json, Json], tuple[str, list[Any]]]
"""The statement that saves a transition, and its parameters; given what history keeps of it."""


def shape(saving: Saving) -> Statement | None:
    """How to save a transition of one of these shapes; None: it is of none of them."""
    changes = saving.transition
    if _has_more(changes):
        return None
    if changes.created:
        if changes.changed:
            return following.statement if following.fits(saving) else None
        return first.statement if first.fits(saving) else None
    if len(changes.changed) == 1:
        return last.statement if last.fits(saving) else None
    return branch.statement if branch.fits(saving) else None


def _has_more(changes: Transition) -> bool:
    return bool(
        changes.withdrawn
        or changes.timers
        or changes.disarmed
        or changes.listeners
        or changes.closed
        or changes.emitted
        or changes.children
        or changes.stimuli
        or changes.pruned
        or changes.chunks
        or changes.dead_letters
        or changes.settled
        or changes.returned
        or changes.inputs
    )
