"""The commonest transition, recognised: in a sequence a call completes and the next one
starts. It has a function of its own in Postgres, which takes a third of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.codec import dumps
from orchestrator.core.values import (
    Attempt,
    AttemptState,
    Ended,
    Instance,
    Json,
    Status,
    Step,
    Transition,
)

if TYPE_CHECKING:
    from orchestrator.database.transitions import Saving

_SAVE_STEP = (
    f"select orchestrator.save_step({','.join(['%s'] * 24)},%s::smallint,{','.join(['%s'] * 4)})"
)


def is_common(saving: Saving) -> bool:
    """Whether the transition does what `orchestrator.save_step` sets, and nothing else."""
    changes = saving.transition
    return (
        saving.fence is not None
        and saving.stimulus.id is None
        and len(changes.changed) == len(changes.created) == len(changes.attempts) == 1
        and len(changes.ended) == 1
        and not _has_more(changes)
        and _only_counts(saving.before, changes.instance)
        and _succeeds(changes.ended[0])
        and _completes(saving.slice.steps.get(changes.changed[0].id), changes.changed[0])
        and _starts(changes.created[0], changes.attempts[0])
        and changes.created[0].started_at == saving.stimulus.at == changes.changed[0].ended_at
    )


def _has_more(changes: Transition) -> bool:
    return bool(
        changes.withdrawn
        or changes.timers
        or changes.disarmed
        or changes.listeners
        or changes.closed
        or changes.emitted
        or changes.children
        or changes.stimuli
        or changes.pruned
        or changes.chunks
        or changes.dead_letters
        or changes.settled
    )


def _only_counts(before: Instance, after: Instance) -> bool:
    return (
        after.status is before.status
        and after.compensation is before.compensation
        and after.open == before.open
        and after.run == before.run
        and after.started_at == before.started_at
        and after.ended_at == before.ended_at
        and after.context is before.context
        and after.output is before.output
        and after.error is before.error
        and after.state is before.state
    )


def _succeeds(ended: Ended) -> bool:
    return ended.state is AttemptState.SUCCEEDED and ended.error is None and not ended.traceback


def _completes(before: Step | None, after: Step) -> bool:
    return (
        before is not None
        and after.status is Status.COMPLETED
        and after.open == before.open
        and after.unknown == before.unknown
        and after.state is before.state
        and after.scope is before.scope
        and after.call is before.call
        and after.error is before.error
    )


def _starts(step: Step, attempt: Attempt) -> bool:
    return (
        step.kind == "call"
        and step.status is Status.RUNNING
        and attempt.step == step.id
        and attempt.number == attempt.starts == 1
        and not (step.open or step.unknown)
        and all(value is None for value in (step.done, step.undoes, step.ended_at))
        and all(value is None for value in (step.output, step.state, step.scope, step.error))
    )


def params(saving: Saving, story: Json, facts: Json) -> tuple[str, list[Any]]:
    """The statement and its parameters, for a transition that `is_common`."""
    changes, fence, taken = saving.transition, saving.fence, saving.taken
    (done,), (step,), (attempt,) = changes.changed, changes.created, changes.attempts
    assert fence is not None  # noqa: S101  is_common says so
    return _SAVE_STEP, [
        saving.before.id,
        saving.before.sequence,
        saving.stimulus.at,
        saving.stimulus.seed,
        dumps(story),
        dumps(facts),
        changes.instance.counter,
        fence.attempt,
        fence.token,
        done.id,
        done.done,
        done.undo,
        _json(done.output),
        step.id,
        step.parent,
        step.index,
        step.ref,
        step.undo,
        _json(step.input),
        _json(step.raw_input),
        _json(step.call),
        attempt.id,
        attempt.task,
        attempt.queue or saving.queue_of(attempt),
        attempt.priority,
        attempt.time_limit,
        *((taken.worker, taken.process, taken.token) if taken else (None, None, None)),
    ]


def _json(value: Json) -> str | None:
    return None if value is None else dumps(value)
