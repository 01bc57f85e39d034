"""Saves a transition: one call of the function ``orchestrator.save_transition``, and in the same
statement string whatever is rarer (timers, listeners, children, notes).

A string of several statements is one transaction in Postgres, so a transition is one round
trip whether it is saved optimistically or under the instance's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.core.model import Attempt, AttemptEnd, Step, Transition
from orchestrator.database.connection.json_parameters import to_json, to_text
from orchestrator.database.connection.session import Session
from orchestrator.database.transitions import fast_paths, side_rows
from orchestrator.database.transitions.history_row import fact_records, stimulus_record
from orchestrator.database.transitions.instance_slice_reader import Snapshot, snapshot_of
from orchestrator.database.transitions.row_mapper import to_attempt
from orchestrator.database.transitions.save_request import SaveRequest, SiblingClaim
from orchestrator.json_codec import dumps

#: So many attempts of a transition are published at once for each queue; from then on every
#: claim and every end of a chain publishes more (`attempts.top_up`): a wide fork wakes as many
#: workers as there are, without a message for each branch that a worker takes by itself.
WAVE = 16


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any] | None]:
    """Rows to one array a column; all null where there is no row."""
    turned: list[list[Any] | None] = [list(column) for column in zip(*rows, strict=True)]
    return turned or [None] * width


def _ended(ended: AttemptEnd) -> tuple[Any, ...]:
    return ended.attempt, ended.state.value, to_json(ended.error), to_text(ended.traceback)


def _changed(step: Step) -> tuple[Any, ...]:
    return (
        step.id,
        step.status.value,
        step.open,
        step.done,
        step.undo,
        step.unknown,
        step.ended_at,
        to_json(step.output),
        to_json(step.state),
        to_json(step.scope),
        to_json(step.call),
        to_json(step.error),
    )


def _created(step: Step) -> tuple[Any, ...]:
    return (
        step.id,
        step.parent,
        step.open,
        step.index,
        step.done,
        step.undoes,
        step.unknown,
        step.ref,
        step.kind,
        step.status.value,
        step.undo,
        step.started_at,
        step.ended_at,
        to_json(step.input),
        to_json(step.raw_input),
        to_json(step.output),
        to_json(step.state),
        to_json(step.scope),
        to_json(step.call),
        to_json(step.error),
    )


def first_wave(
    transition: Transition, taken: str | None, queue_of: Callable[[Attempt], str]
) -> list[Attempt]:
    """The new attempts that are published right after the commit."""
    count: Counter[str] = Counter()
    wave = []
    for attempt in transition.attempts:
        queue = attempt.queue or queue_of(attempt)
        if attempt.id != taken and count[queue] < WAVE:
            count[queue] += 1
            wave.append(attempt)
    return wave


def _attempts(saving: SaveRequest) -> list[tuple[Any, ...]]:
    taken = saving.local_claim.attempt if saving.local_claim else None
    at_once = {one.id for one in first_wave(saving.transition, taken, saving.queue_of)}
    return [
        (
            attempt.id,
            attempt.step,
            attempt.number,
            attempt.starts,
            attempt.task,
            attempt.queue or saving.queue_of(attempt),
            attempt.priority,
            attempt.time_limit,
            attempt.id in at_once,
        )
        for attempt in saving.transition.attempts
    ]


CLAIM_SIBLING = "select orchestrator.claim_sibling(%s,%s,%s,%s,%s,%s)"
READ_SIBLING = "select orchestrator.read_claimed_sibling(%s,%s,%s)"
_SAVE = (
    "select orchestrator.save_transition("
    "%s,%s,%s,%s,%s,%s,%s,%s,%s,"
    "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,"
    "%s::uuid[],%s::text[],%s::json[],%s::text[],"
    "%s::int[],%s::text[],%s::int[],%s::int[],%s::text[],%s::boolean[],%s::timestamptz[],"
    "%s::json[],%s::json[],%s::json[],%s::json[],%s::json[],"
    "%s::int[],%s::int[],%s::int[],%s::int[],%s::int[],%s::int[],%s::boolean[],%s::text[],"
    "%s::text[],%s::text[],%s::text[],%s::timestamptz[],%s::timestamptz[],"
    "%s::json[],%s::json[],%s::json[],%s::json[],%s::json[],%s::json[],%s::json[],"
    "%s::uuid[],%s::int[],%s::int[],%s::int[],%s::text[],%s::text[],%s::smallint[],"
    "%s::float8[],%s::boolean[],%s,%s,%s,%s)"
)


def _instance(saving: SaveRequest) -> list[Any]:
    before, after = saving.instance_before, saving.transition.instance
    context_set = after.context is not before.context
    output_set = after.output is not before.output
    return [
        after.status.value,
        after.compensation.value,
        after.run,
        after.counter,
        after.open,
        after.started_at,
        after.ended_at,
        to_json(after.error),
        to_json(after.state),
        context_set,
        to_json(after.context) if context_set else None,
        output_set,
        to_json(after.output) if output_set else None,
    ]


def _params(saving: SaveRequest) -> list[Any]:
    stimulus, transition, fence, taken = (
        saving.stimulus,
        saving.transition,
        saving.fence,
        saving.local_claim,
    )
    return [
        saving.instance_before.id,
        saving.instance_before.sequence,
        stimulus.at,
        stimulus.seed,
        dumps(stimulus_record(stimulus, saving.slice)),
        dumps(fact_records(transition)),
        stimulus.id,
        fence.attempt if fence else None,
        fence.token if fence else None,
        *_instance(saving),
        *_columns(map(_ended, transition.ended), 4),
        *_columns(map(_changed, transition.changed), 12),
        *_columns(map(_created, transition.created), 20),
        *_columns(_attempts(saving), 9),
        *((taken.attempt, taken.worker, taken.process, taken.token) if taken else [None] * 4),
    ]


def save(session: Session, saving: SaveRequest) -> Snapshot | None:
    """Save a transition whole, in one round trip; the sibling that was claimed with it.

    Raises:
        Superseded: the instance moved on since its slice was read.
        Fenced: the attempt is not the caller's any more.
    """
    sql, params = _statement(saving)
    if saving.sibling is not None:
        return _save_and_claim_sibling(
            session, sql, params, saving.instance_before.id, saving.sibling
        )
    session.commit_with(sql, params)
    return None


def _statement(saving: SaveRequest) -> tuple[str, list[Any]]:
    mark = side_rows.mark(saving.instance_before, saving.stimulus)
    shape = fast_paths.fast_path_for(saving) if mark is None else None
    if shape is not None:
        return shape(
            saving, stimulus_record(saving.stimulus, saving.slice), fact_records(saving.transition)
        )
    sql, params = [_SAVE], _params(saving)
    more = side_rows.side_row_statements(saving.instance_before, saving.transition)
    for statement, values in more if mark is None else (mark, *more):
        sql.append(statement)
        params.extend(values)
    return "; ".join(sql), params


def _save_and_claim_sibling(
    session: Session, sql: str, params: list[Any], instance: str, sibling: SiblingClaim
) -> Snapshot | None:
    """Save and claim a ready attempt; None: there is none. Others who look at the same time take
    others; the newest is taken, because the oldest have messages on their way. It is read after
    the commit, since others wait for the row lock."""
    holder = (sibling.worker, sibling.process, sibling.token)
    ((found,),) = session.commit_with(
        f"{sql}; {CLAIM_SIBLING}",
        [*params, instance, sibling.task, sibling.queue, *holder, *holder],
        then=READ_SIBLING,
    )
    return snapshot_of(found["slice"], to_attempt(found["attempt"])) if found else None
