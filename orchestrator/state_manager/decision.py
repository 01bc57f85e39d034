"""Calls the core, and loads the rows that it needs, until it has decided."""

from __future__ import annotations

from orchestrator.core import Bounds, advance
from orchestrator.core.model import DataNeeded, Slice, Stimulus, Transition
from orchestrator.database.connection.database import Fenced, Superseded
from orchestrator.document.model import Workflow
from orchestrator.state_manager.deliberation import Deliberation, EvaluationAsked, NoEvaluation
from orchestrator.state_manager.store_protocol import TransitionView


class LockNeeded(Exception):
    """The decision withdraws attempts or deletes a stimulus. Both need the instance's row lock."""


#: An optimistic save met another process's transition, or the decision needs the row lock. The
#: caller reads again and decides under the lock.
LOCK_REQUIRED = (Superseded, Fenced, LockNeeded)


def decide(
    view: TransitionView,
    workflow: Workflow,
    slice: Slice,
    stimulus: Stimulus,
    deliberation: Deliberation | NoEvaluation,
    limits: Bounds,
    *,
    locked: bool,
) -> tuple[Transition, Slice]:
    """Return the transition of a stimulus, and the slice with all rows that it was decided on.

    Raises:
        EvaluationAsked: the decision needs the sandbox, and holds the lock; with the slice.
        LockNeeded: the decision needs every open step, and `locked` is False.
    """
    while True:
        deliberation.begin(locked=locked)
        try:
            transition = advance(
                workflow, slice, stimulus, deliberation.evaluate, limits, deliberation.may_go_on
            )
        except DataNeeded as needs:
            if needs.need.what == "open" and not locked:
                raise LockNeeded from None
            slice = view.load(slice, needs.need)
        except EvaluationAsked as asked:
            asked.slice = slice
            raise
        else:
            return transition, slice
