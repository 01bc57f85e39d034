"""Recognizes the most common transitions: those of a sequence of calls, and of a fork. Each has its
own function in Postgres, which takes half the time of `orchestrator.save_transition`.

A transition takes a fast path only if it does exactly what the function sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Json, Transition
from orchestrator.database.transitions.fast_paths import (
    save_branch_end,
    save_first_call,
    save_last_call,
    save_next_call,
)

if TYPE_CHECKING:
    from orchestrator.database.transitions.save_request import SaveRequest

Statement = Callable[["SaveRequest", Json, Json], tuple[str, list[Any]]]
"""The statement that saves a transition, and its parameters, from the records for history."""


def fast_path_for(saving: SaveRequest) -> Statement | None:
    """Return the statement builder for a transition of one of these shapes; None: it has none of
    them."""
    changes = saving.transition
    if _has_more(changes):
        return None
    if changes.created:
        if changes.changed:
            return save_next_call.statement if save_next_call.applies(saving) else None
        return save_first_call.statement if save_first_call.applies(saving) else None
    if len(changes.changed) == 1:
        return save_last_call.statement if save_last_call.applies(saving) else None
    return save_branch_end.statement if save_branch_end.applies(saving) else None


def _has_more(changes: Transition) -> bool:
    return bool(
        changes.withdrawn
        or changes.timers
        or changes.timers_removed
        or changes.listeners
        or changes.listeners_removed
        or changes.emitted
        or changes.children
        or changes.stimuli
        or changes.pruned
        or changes.chunks
        or changes.dead_letters
        or changes.letters_closed
        or changes.returned
        or changes.inputs
    )
