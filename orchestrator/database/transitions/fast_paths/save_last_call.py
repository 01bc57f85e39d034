"""The last transition of an instance that ends with a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Instance, Json, Status
from orchestrator.database.connection.json_parameters import to_json
from orchestrator.database.transitions.fast_paths.shared_conditions import (
    completes,
    completion_parameters,
    history_parameters,
    instance_unchanged,
    succeeds,
)

if TYPE_CHECKING:
    from orchestrator.database.transitions.save_request import SaveRequest

_STATEMENT = f"select orchestrator.save_last_call({','.join(['%s'] * 14)})"


def applies(saving: SaveRequest) -> bool:
    """Whether the transition does exactly what `orchestrator.save_last_call` sets."""
    changes, at = saving.transition, saving.stimulus.at
    return (
        saving.fence is not None
        and saving.stimulus.id is None
        and len(changes.changed) == len(changes.ended) == 1
        and not (changes.created or changes.attempts)
        and _ends(saving.instance_before, changes.instance)
        and instance_unchanged(saving.instance_before, changes.instance)
        and succeeds(changes.ended[0], saving.fence)
        and completes(saving.slice.steps.get(changes.changed[0].id), changes.changed[0])
        and changes.instance.ended_at == at == changes.changed[0].ended_at
    )


def _ends(before: Instance, after: Instance) -> bool:
    return (
        before.status is not Status.COMPLETED
        and after.status is Status.COMPLETED
        and after.open_places == 0
        and after.started_at == before.started_at
    )


def statement(saving: SaveRequest, record: Json, facts: Json) -> tuple[str, list[Any]]:
    """Return the statement and its parameters, for a transition to which this path `applies`."""
    output = to_json(saving.transition.instance.output)
    return _STATEMENT, [
        *history_parameters(saving, record, facts),
        output,
        *completion_parameters(saving),
    ]
