"""Reports attempts whose process died or whose lease expired."""

from __future__ import annotations

from typing import Any

from orchestrator.core.attempt_end_json import end_to_json
from orchestrator.core.model import AttemptEnd, AttemptState, StimulusKind
from orchestrator.state_manager.claimed_attempt import LeaseOwner
from orchestrator.state_manager.dependencies import Dependencies


def report_lost_process(
    parts: Dependencies, owner: LeaseOwner, error: dict[str, Any], state: AttemptState
) -> int:
    """See `StateManager.report_lost_process`."""
    attempts = parts.store.claimed_by(owner.worker, owner.process)
    for attempt, instance, step in attempts:
        report_lost_attempt(parts, attempt, instance, step, error, state)
    parts.dispatcher.hint(*parts.store.end_decision_leases_of(owner.worker, owner.process))
    return len(attempts)


def report_lost_attempt(
    parts: Dependencies,
    attempt: str,
    instance: str,
    step: int,
    error: dict[str, Any],
    state: AttemptState,
) -> None:
    """See `StateManager.report_lost_attempt`."""
    ended = AttemptEnd(attempt, state, error=error, outcome_unknown=True)
    parts.store.put_stimulus(
        instance,
        StimulusKind.RESULT,
        step=step,
        attempt=attempt,
        data=end_to_json(ended),
        key=f"lost:{attempt}",
    )
    parts.dispatcher.hint(instance)
