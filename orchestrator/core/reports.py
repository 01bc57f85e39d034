"""What an instance tells the one that started it."""

from __future__ import annotations

from orchestrator.core.values import Json, StimulusKind
from orchestrator.core.work import Draft


def report(draft: Draft) -> None:
    """How the instance ended, for the step that waits for it, if there is one."""
    root = draft.root
    data = {"status": root.status.value, "output": root.output, "error": root.error}
    _tell(draft, root.was.parent_step, data)


def report_undone(draft: Draft, step: int) -> None:
    """How the compensation went that the parent asked for."""
    _tell(draft, step, {"compensated": draft.root.compensation.value})


def _tell(draft: Draft, step: int | None, data: dict[str, Json]) -> None:
    parent = draft.root.was.parent_instance
    if parent is not None and step is not None:
        draft.tell(StimulusKind.CHILD, parent, step, data)
