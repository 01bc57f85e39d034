"""Calls the core, and loads what it asks for, until it has decided."""

from __future__ import annotations

from orchestrator.core import Bounds, advance
from orchestrator.core.model import DataNeeded, Slice, Stimulus, Transition
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate
from orchestrator.state_manager.store_protocol import TransitionView


class LockNeeded(Exception):
    """The decision withdraws attempts, or forgets a stimulus: only the holder of the row lock
    may do either."""


def decide(
    view: TransitionView,
    workflow: Workflow,
    slice: Slice,
    stimulus: Stimulus,
    evaluate: Evaluate,
    limits: Bounds,
    *,
    locked: bool,
) -> tuple[Transition, Slice]:
    """The transition that the stimulus makes, and the slice with all that it was decided on.

    Raises:
        LockNeeded: it needs every open step, and the lock is not held.
    """
    while True:
        try:
            return advance(workflow, slice, stimulus, evaluate, limits), slice
        except DataNeeded as needs:
            if needs.need.what == "open" and not locked:
                raise LockNeeded from None
            slice = view.load(slice, needs.need)
