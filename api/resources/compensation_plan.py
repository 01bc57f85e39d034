"""Which steps a compensation would undo."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.instances.compensation_queries import Undoable
from orchestrator.document.model import Workflow


def compensation_plan(workflow: Workflow, found: Sequence[Undoable]) -> list[Undoable]:
    """Return the steps that would be undone.

    A step is left out if an enclosing step has a compensation, which replaces its own (DESIGN,
    Ends, undoing and keys).
    """
    by_id = {step.id: step for step in found}

    def replaced(step: Undoable) -> bool:
        ancestor = by_id.get(step.parent)
        while ancestor is not None:
            if ancestor.completed and workflow.task(ancestor.reference).compensation is not None:
                return True
            ancestor = by_id.get(ancestor.parent)
        return False

    return [step for step in found if step.completion_number is not None and not replaced(step)]
