"""The first transition of an instance that begins with a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Instance, Json, Status
from orchestrator.database.transitions.fast_paths.shared_conditions import (
    history_parameters,
    instance_unchanged,
    start_parameters,
    starts,
)

if TYPE_CHECKING:
    from orchestrator.database.transitions.save_request import SaveRequest

_STATEMENT = (
    f"select orchestrator.save_first_call({','.join(['%s'] * 19)},%s::smallint,"
    f"{','.join(['%s'] * 4)})"
)


def applies(saving: SaveRequest) -> bool:
    """Whether the transition does exactly what `orchestrator.save_first_call` sets."""
    changes, at = saving.transition, saving.stimulus.at
    return (
        saving.fence is None
        and saving.stimulus.id is not None
        and len(changes.created) == len(changes.attempts) == 1
        and not (changes.changed or changes.ended)
        and _begins(saving.instance_before, changes.instance)
        and instance_unchanged(saving.instance_before, changes.instance)
        and starts(changes.created[0], changes.attempts[0])
        and changes.instance.started_at == changes.created[0].started_at == at
    )


def _begins(before: Instance, after: Instance) -> bool:
    return (
        before.status is Status.PENDING
        and after.status is Status.RUNNING
        and after.open_places == 1
        and after.ended_at == before.ended_at
        and after.output is before.output
    )


def statement(saving: SaveRequest, record: Json, facts: Json) -> tuple[str, list[Any]]:
    """Return the statement and its parameters, for a transition to which this path `applies`."""
    return _STATEMENT, [
        *history_parameters(saving, record, facts),
        saving.stimulus.id,
        *start_parameters(saving),
    ]
