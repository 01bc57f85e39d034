"""Saves a transition: one call of the function ``orchestrator.save_transition``, with the
statements of the less common rows (timers, listeners, children, stimuli) in the same text.

A text of several statements is one transaction in Postgres, so a transition is one round trip,
whether it is saved optimistically or under the instance's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.core.model import Attempt, AttemptEnd, Step, Transition
from orchestrator.database.connection.json_parameters import to_json, to_text
from orchestrator.database.connection.session import Session
from orchestrator.database.transitions import fast_paths, side_rows
from orchestrator.database.transitions.decision_lease_queries import END_LEASE
from orchestrator.database.transitions.history_row import fact_records, stimulus_record
from orchestrator.database.transitions.instance_slice_reader import Snapshot, snapshot_of
from orchestrator.database.transitions.row_mapper import to_attempt
from orchestrator.database.transitions.save_request import SaveRequest, SiblingClaim
from orchestrator.json_codec import dumps

#: Attempts per queue that are published right after the commit. Later, each claim by message and
#: each finished runner publishes two more (`unclaimed_attempts.claim_next_wave`). A wide fork thus
#: reaches every idle worker, while branches that a worker continues with locally need no message.
WAVE = 16


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any] | None]:
    """Turn rows into one array for each column; all null where there is no row."""
    columns: list[list[Any] | None] = [list(column) for column in zip(*rows, strict=True)]
    return columns or [None] * width


def _ended(ended: AttemptEnd) -> tuple[Any, ...]:
    return ended.attempt, ended.state.value, to_json(ended.error), to_text(ended.traceback)


def _changed(step: Step) -> tuple[Any, ...]:
    return (
        step.id,
        step.status.value,
        step.open_children,
        step.completion_number,
        step.compensated_by,
        step.outcome_unknown,
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
        step.open_children,
        step.index,
        step.completion_number,
        step.compensates,
        step.outcome_unknown,
        step.reference,
        step.kind,
        step.status.value,
        step.compensated_by,
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
    transition: Transition, claimed: str | None, queue_of: Callable[[Attempt], str]
) -> list[Attempt]:
    """Return the new attempts that are published right after the commit."""
    count: Counter[str] = Counter()
    wave = []
    for attempt in transition.attempts:
        queue = attempt.queue or queue_of(attempt)
        if attempt.id != claimed and count[queue] < WAVE:
            count[queue] += 1
            wave.append(attempt)
    return wave


def _attempts(saving: SaveRequest) -> list[tuple[Any, ...]]:
    claimed = saving.local_claim.attempt if saving.local_claim else None
    published = {one.id for one in first_wave(saving.transition, claimed, saving.queue_of)}
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
            attempt.id in published,
        )
        for attempt in saving.transition.attempts
    ]


CLAIM_SIBLING = "select orchestrator.claim_sibling(%s,%s,%s,%s,%s,%s)"
READ_SIBLING = "select orchestrator.read_claimed_sibling(%s,%s,%s)"
_SAVE = """
select orchestrator.save_transition(
  %s,%s,%s,%s,%s,%s,%s,%s,%s,
  %s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,
  %s::uuid[],%s::text[],%s::json[],%s::text[],
  %s::int[],%s::text[],%s::int[],%s::int[],%s::text[],%s::boolean[],%s::timestamptz[],
  %s::json[],%s::json[],%s::json[],%s::json[],%s::json[],
  %s::int[],%s::int[],%s::int[],%s::int[],%s::int[],%s::int[],%s::boolean[],%s::text[],
  %s::text[],%s::text[],%s::text[],%s::timestamptz[],%s::timestamptz[],
  %s::json[],%s::json[],%s::json[],%s::json[],%s::json[],%s::json[],%s::json[],
  %s::uuid[],%s::int[],%s::int[],%s::int[],%s::text[],%s::text[],%s::smallint[],
  %s::float8[],%s::boolean[],%s,%s,%s,%s)
"""


def _instance(saving: SaveRequest) -> list[Any]:
    before, after = saving.instance_before, saving.transition.instance
    context_set = after.context is not before.context
    output_set = after.output is not before.output
    return [
        after.status.value,
        after.compensation.value,
        after.run,
        after.last_number,
        after.open_places,
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
    stimulus, transition, fence, claim = (
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
        dumps(stimulus_record(stimulus, saving.slice, transition)),
        dumps(fact_records(transition)),
        stimulus.id,
        fence.attempt if fence else None,
        fence.token if fence else None,
        *_instance(saving),
        *_columns(map(_ended, transition.ended), 4),
        *_columns(map(_changed, transition.changed), 12),
        *_columns(map(_created, transition.created), 20),
        *_columns(_attempts(saving), 9),
        *((claim.attempt, claim.worker, claim.process, claim.token) if claim else [None] * 4),
    ]


def save(session: Session, saving: SaveRequest) -> Snapshot | None:
    """Save a whole transition in one round trip. Return the sibling that was claimed with it, if
    any.

    Raises:
        Superseded: the instance has changed since its slice was read.
        Fenced: the attempt is no longer claimed by the caller.
    """
    sql, params = _statement(saving)
    if saving.lease is not None:
        sql, params = f"{sql}; {END_LEASE}", [*params, saving.instance_before.id, saving.lease]
    if saving.sibling is not None:
        return _save_and_claim_sibling(
            session, sql, params, saving.instance_before.id, saving.sibling
        )
    session.commit_with(sql, params)
    return None


def _statement(saving: SaveRequest) -> tuple[str, list[Any]]:
    mark = side_rows.start_mark_statement(saving.instance_before, saving.stimulus)
    fast_path = fast_paths.fast_path_for(saving) if mark is None else None
    if fast_path is not None:
        return fast_path(
            saving,
            stimulus_record(saving.stimulus, saving.slice, saving.transition),
            fact_records(saving.transition),
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
    """Save, and claim a ready attempt; None: there is none.

    Processes that claim at the same time get different attempts. The newest is claimed, because the
    oldest have messages on their way. Its slice is read after the commit, since other processes
    wait for the row lock.
    """
    owner = (sibling.worker, sibling.process, sibling.token)
    ((claimed,),) = session.commit_with(
        f"{sql}; {CLAIM_SIBLING}",
        [*params, instance, sibling.task, sibling.queue, *owner, *owner],
        read_after=READ_SIBLING,
    )
    return snapshot_of(claimed["slice"], to_attempt(claimed["attempt"])) if claimed else None
