"""The most common transition: in a sequence, a call completes and the next one starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Json
from orchestrator.database.transitions.fast_paths.shared_conditions import (
    completes,
    completion_parameters,
    history_parameters,
    instance_unchanged,
    start_parameters,
    starts,
    status_unchanged,
    succeeds,
)

if TYPE_CHECKING:
    from orchestrator.database.transitions.save_request import SaveRequest

_STATEMENT = (
    f"select orchestrator.save_next_call({','.join(['%s'] * 24)},%s::smallint,"
    f"{','.join(['%s'] * 4)})"
)


def applies(saving: SaveRequest) -> bool:
    """Whether the transition does exactly what `orchestrator.save_next_call` sets."""
    changes, at = saving.transition, saving.stimulus.at
    return (
        saving.fence is not None
        and saving.stimulus.id is None
        and len(changes.changed) == len(changes.created) == len(changes.attempts) == 1
        and len(changes.ended) == 1
        and status_unchanged(saving.instance_before, changes.instance)
        and changes.instance.open_places == saving.instance_before.open_places
        and instance_unchanged(saving.instance_before, changes.instance)
        and succeeds(changes.ended[0], saving.fence)
        and completes(saving.slice.steps.get(changes.changed[0].id), changes.changed[0])
        and starts(changes.created[0], changes.attempts[0])
        and changes.created[0].started_at == at == changes.changed[0].ended_at
    )


def statement(saving: SaveRequest, record: Json, facts: Json) -> tuple[str, list[Any]]:
    """Return the statement and its parameters, for a transition to which this path `applies`."""
    return _STATEMENT, [
        *history_parameters(saving, record, facts),
        *completion_parameters(saving),
        *start_parameters(saving),
    ]
