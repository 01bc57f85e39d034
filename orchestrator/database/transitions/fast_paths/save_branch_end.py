"""The most common transition of a fork: a branch's call completes while other branches are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Json, Step
from orchestrator.database.transitions.fast_paths.shared_conditions import (
    completes,
    completion_parameters,
    history_parameters,
    instance_unchanged,
    status_unchanged,
    step_unchanged,
    succeeds,
)

if TYPE_CHECKING:
    from orchestrator.database.transitions.save_request import SaveRequest

_STATEMENT = f"select orchestrator.save_branch_end({','.join(['%s'] * 16)})"


def applies(saving: SaveRequest) -> bool:
    """Whether the transition does exactly what `orchestrator.save_branch_end` sets."""
    changes, steps = saving.transition, saving.slice.steps
    return (
        saving.fence is not None
        and saving.stimulus.id is None
        and len(changes.changed) == 2
        and len(changes.ended) == 1
        and not (changes.created or changes.attempts)
        and status_unchanged(saving.instance_before, changes.instance)
        and instance_unchanged(saving.instance_before, changes.instance)
        and succeeds(changes.ended[0], saving.fence)
        and completes(steps.get(changes.changed[0].id), changes.changed[0])
        and _changes_only_open_children(steps.get(changes.changed[1].id), changes.changed[1])
        and changes.changed[0].ended_at == saving.stimulus.at
    )


def _changes_only_open_children(before: Step | None, after: Step) -> bool:
    """Whether only the number of open children changes in a step."""
    return (
        before is not None
        and after.status is before.status
        and after.completion_number == before.completion_number
        and after.compensated_by == before.compensated_by
        and after.ended_at == before.ended_at
        and after.output is before.output
        and step_unchanged(before, after)
    )


def statement(saving: SaveRequest, record: Json, facts: Json) -> tuple[str, list[Any]]:
    """Return the statement and its parameters, for a transition to which this path `applies`."""
    fork = saving.transition.changed[1]
    return _STATEMENT, [
        *history_parameters(saving, record, facts),
        saving.transition.instance.open_places,
        *completion_parameters(saving),
        fork.id,
        fork.open_children,
    ]
