"""Conditions and parameters that the fast paths share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Attempt, AttemptEnd, AttemptState, Instance, Json, Status, Step
from orchestrator.database.connection.json_parameters import to_json
from orchestrator.json_codec import dumps

if TYPE_CHECKING:
    from orchestrator.database.transitions.save_request import Fence, SaveRequest


def instance_unchanged(before: Instance, after: Instance) -> bool:
    """Whether the fields of the instance that no fast path sets are unchanged."""
    return (
        after.compensation is before.compensation
        and after.run == before.run
        and after.context is before.context
        and after.error is before.error
        and after.state is before.state
    )


def status_unchanged(before: Instance, after: Instance) -> bool:
    """Whether the instance neither starts nor ends nor changes its status."""
    return (
        after.status is before.status
        and after.started_at == before.started_at
        and after.ended_at == before.ended_at
        and after.output is before.output
    )


def succeeds(ended: AttemptEnd, fence: Fence) -> bool:
    """Whether the caller's own attempt ends, with success only."""
    return (
        ended.attempt == fence.attempt
        and ended.state is AttemptState.SUCCEEDED
        and ended.error is None
        and not ended.traceback
    )


def step_unchanged(before: Step, after: Step) -> bool:
    """Whether the fields of the step that no fast path sets are unchanged."""
    return (
        after.outcome_unknown == before.outcome_unknown
        and after.state is before.state
        and after.scope is before.scope
        and after.call is before.call
        and after.error is before.error
    )


def completes(before: Step | None, after: Step) -> bool:
    """Whether a step completes, and nothing else of it changes."""
    return (
        before is not None
        and after.status is Status.COMPLETED
        and after.open_children == before.open_children
        and step_unchanged(before, after)
    )


def starts(step: Step, attempt: Attempt) -> bool:
    """Whether a call starts, with its first attempt."""
    return (
        step.kind == "call"
        and step.status is Status.RUNNING
        and attempt.step == step.id
        and attempt.number == attempt.starts == 1
        and not (step.open_children or step.outcome_unknown)
        and all(
            value is None for value in (step.completion_number, step.compensates, step.ended_at)
        )
        and all(value is None for value in (step.output, step.state, step.scope, step.error))
    )


def history_parameters(saving: SaveRequest, record: Json, facts: Json) -> list[Any]:
    """Return the first parameters of each function: those of the instance and of the history
    row."""
    return [
        saving.instance_before.id,
        saving.instance_before.sequence,
        saving.stimulus.at,
        saving.stimulus.seed,
        dumps(record),
        dumps(facts),
        saving.transition.instance.last_number,
    ]


def completion_parameters(saving: SaveRequest) -> list[Any]:
    """Return the parameters of the attempt that ends, and of the step that completes with it."""
    done, fence = saving.transition.changed[0], saving.fence
    assert fence is not None  # noqa: S101  `applies` requires it
    return [
        fence.attempt,
        fence.token,
        done.id,
        done.completion_number,
        done.compensated_by,
        to_json(done.output),
    ]


def start_parameters(saving: SaveRequest) -> list[Any]:
    """Return the parameters of the step that starts, and of its attempt."""
    (step,), (attempt,), claim = (
        saving.transition.created,
        saving.transition.attempts,
        saving.local_claim,
    )
    return [
        step.id,
        step.parent,
        step.index,
        step.reference,
        step.compensated_by,
        to_json(step.input),
        to_json(step.raw_input),
        to_json(step.call),
        attempt.id,
        attempt.task,
        attempt.queue or saving.queue_of(attempt),
        attempt.priority,
        attempt.time_limit,
        *((claim.worker, claim.process, claim.token) if claim else (None, None, None)),
    ]
