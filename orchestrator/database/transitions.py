"""Saves a transition: one call of the function ``orchestrator.save``, and in the same
statement string whatever is rarer (timers, listeners, children, notes).

A string of several statements is one transaction in Postgres, so a transition is one round
trip whether it is saved optimistically or under the instance's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator import ids
from orchestrator.codec import dumps
from orchestrator.core.values import (
    Attempt,
    AttemptState,
    Ended,
    Instance,
    Json,
    Slice,
    Step,
    Stimulus,
    Transition,
)
from orchestrator.database import common
from orchestrator.database.slices import Reader

#: So many attempts of a transition are published at once for each queue; from then on every
#: claim and every end of a chain publishes more (`attempts.top_up`): a wide fork wakes as many
#: workers as there are, without a message for each branch that a worker takes by itself.
WAVE = 16


@dataclass(frozen=True, slots=True)
class Fence:
    """The attempt that is being ended, and the token it was claimed with."""

    attempt: str
    token: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A new attempt that the saver runs itself, born claimed under `token`."""

    attempt: str
    worker: str
    process: int
    token: str


@dataclass(frozen=True, slots=True)
class Saving:
    """A transition on its way into the database.

    `slice` is what it was decided on: its instance's `sequence` is what the save compares.
    `queue_of` names the queue of an attempt whose document named none.
    """

    slice: Slice
    stimulus: Stimulus
    transition: Transition
    queue_of: Callable[[Attempt], str]
    fence: Fence | None = None
    taken: Taken | None = None

    @property
    def before(self) -> Instance:
        """The instance as it was read."""
        return self.slice.instance


def _json(value: Json) -> str | None:
    return None if value is None else dumps(value)


def story(stimulus: Stimulus, slice: Slice) -> dict[str, Json]:
    """The stimulus as history keeps it, with what else the decision rested on that does not
    follow from earlier rows: enough to replay the transition (invariant I12).

    ``claimed`` are the attempts that workers had in hand when open steps were stopped or
    paused; ``workflows`` the versions found for sub-workflows.
    """
    told: dict[str, Json] = {"kind": stimulus.kind.value}
    if stimulus.step is not None:
        told["step"] = stimulus.step
    if stimulus.data:
        told["data"] = dict(stimulus.data)
    if stimulus.ended:
        told.update(ended_to_json(stimulus.ended))
    for need, answer in slice.loaded.items():
        if need.what == "open":
            told["claimed"] = [one.id for _, one in answer if _is_claimed(one)]
        elif need.what == "workflow":
            told.setdefault("workflows", {})["/".join(need.args)] = answer
    return told


def _is_claimed(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.state is AttemptState.CLAIMED


def ended_to_json(ended: Ended) -> dict[str, Json]:
    """How an attempt ended, without what is not set; the traceback stays with the attempt."""
    told: dict[str, Json] = {"attempt": ended.attempt, "state": ended.state.value}
    for name in ("output", "error", "retry_in", "arguments"):
        if (value := getattr(ended, name)) is not None:
            told[name] = value
    if ended.unknown:
        told["unknown"] = True
    return told


def _facts(transition: Transition) -> list[Json]:
    return [
        [fact.type, fact.step, fact.data] if fact.data is not None else [fact.type, fact.step]
        for fact in transition.facts
    ]


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any] | None]:
    """Rows to one array a column; all null where there is no row."""
    turned: list[list[Any] | None] = [list(column) for column in zip(*rows, strict=True)]
    return turned or [None] * width


def _ended(ended: Ended) -> tuple[Any, ...]:
    return ended.attempt, ended.state.value, _json(ended.error), _text(ended.traceback)


def _text(value: str | None) -> str | None:
    """A text as Postgres takes it, which knows no NUL."""
    return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")


def _changed(step: Step) -> tuple[Any, ...]:
    return (
        step.id,
        step.status.value,
        step.open,
        step.done,
        step.undo,
        step.unknown,
        step.ended_at,
        _json(step.output),
        _json(step.state),
        _json(step.scope),
        _json(step.call),
        _json(step.error),
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
        _json(step.input),
        _json(step.raw_input),
        _json(step.output),
        _json(step.state),
        _json(step.scope),
        _json(step.call),
        _json(step.error),
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


def _attempts(saving: Saving) -> list[tuple[Any, ...]]:
    taken = saving.taken.attempt if saving.taken else None
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


_SAVE = (
    "select orchestrator.save("
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


def _instance(saving: Saving) -> list[Any]:
    before, after = saving.before, saving.transition.instance
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
        _json(after.error),
        _json(after.state),
        context_set,
        _json(after.context) if context_set else None,
        output_set,
        _json(after.output) if output_set else None,
    ]


def _params(saving: Saving) -> list[Any]:
    stimulus, transition, fence, taken = (
        saving.stimulus,
        saving.transition,
        saving.fence,
        saving.taken,
    )
    return [
        saving.before.id,
        saving.before.sequence,
        stimulus.at,
        stimulus.seed,
        dumps(story(stimulus, saving.slice)),
        dumps(_facts(transition)),
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


def save(reader: Reader, saving: Saving) -> None:
    """Save a transition whole, in one round trip.

    Raises:
        Superseded: the instance moved on since its slice was read.
        Fenced: the attempt is not the caller's any more.
    """
    if common.is_common(saving):
        told, facts = story(saving.stimulus, saving.slice), _facts(saving.transition)
        reader.last(*common.params(saving, told, facts))
        return
    sql, params = [_SAVE], _params(saving)
    for statement, values in _rare(saving):
        sql.append(statement)
        params.extend(values)
    reader.last("; ".join(sql), params)


Statement = tuple[str, list[Any]]


def _rare(saving: Saving) -> Iterable[Statement]:
    """The statements for what few transitions have, in the order of lock and of meaning."""
    instance, transition = saving.before, saving.transition
    if transition.withdrawn:
        yield _withdraw(instance, transition.withdrawn)
    if transition.disarmed:
        yield (
            "delete from orchestrator.timers where instance_id = %s and step = any(%s)",
            [instance.id, list(transition.disarmed)],
        )
    if transition.closed:
        # The keys last: who writes some holds the listener meanwhile.
        for table in ("listeners", "listener_keys"):
            yield (
                f"delete from orchestrator.{table} where instance_id = %s and step = any(%s)",
                [instance.id, list(transition.closed)],
            )
    for rows in (_timers, _listeners, _chunks, _children, _notes, _emitted, _dead_letters):
        yield from rows(instance, transition)
    if transition.pruned:
        yield from _prune(instance, transition.pruned)


def _withdraw(instance: Instance, steps: tuple[int, ...]) -> Statement:
    return (
        "update orchestrator.attempts set withdrawn = true,"
        " ended_at = case state when 'ready' then clock_timestamp() else ended_at end,"
        " state = case state when 'ready' then 'withdrawn' else state end"
        " where instance_id = %s and step = any(%s) and state in ('ready', 'claimed')",
        [instance.id, list(steps)],
    )


def _timers(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for timer in transition.timers:
        yield (
            "insert into orchestrator.timers (instance_id, step, kind, due_at)"
            " values (%s, %s, %s, %s)"
            " on conflict (instance_id, step, kind) do update set due_at = excluded.due_at",
            [instance.id, timer.step, timer.kind.value, timer.due_at],
        )


def _listeners(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for listener in transition.listeners:
        yield (
            "insert into orchestrator.listeners"
            " (instance_id, step, namespace, mode, filters, until, read, correlation, variables)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
            # Whoever matched the event that bound a correlation has noted that already.
            " on conflict (instance_id, step) do nothing",
            [
                instance.id,
                listener.step,
                instance.namespace,
                listener.mode,
                dumps(listener.filters),
                _json(listener.until),
                listener.read,
                _json(listener.correlation),
                _json(listener.variables),
            ],
        )


def _chunks(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for chunk in transition.chunks:
        yield (
            "insert into orchestrator.chunks (instance_id, step, index, items)"
            " values (%s, %s, %s, %s)",
            [instance.id, chunk.step, chunk.index, dumps(chunk.items)],
        )


def _children(instance: Instance, transition: Transition) -> Iterable[Statement]:
    """Refused as `Superseded` where the version was removed since it was looked for."""
    for child in transition.children:
        parent = (instance.id, child.parent_step) if child.parent_step else (None, None)
        yield (
            "select orchestrator.start_child(%s, %s, %s, %s, %s, %s)",
            [child.id, child.workflow_id, _json(child.input), _json(child.state), *parent],
        )


def _notes(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for note in transition.stimuli:
        yield (
            "insert into orchestrator.stimuli (instance_id, kind, step, data)"
            " values (%s, %s, %s, %s)",
            [note.instance or instance.id, note.kind.value, note.step, _json(note.data)],
        )


def _emitted(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for event in transition.emitted:
        yield (
            "insert into orchestrator.events"
            " (id, namespace, event_id, source, type, event, instance_id)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            [
                ids.new_id(),
                instance.namespace,
                _text(event["id"]),
                _text(event["source"]),
                _text(event["type"]),
                dumps(event),
                instance.id,
            ],
        )


def _dead_letters(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for letter in transition.dead_letters:
        yield (
            "insert into orchestrator.dead_letters"
            " (id, namespace, instance_id, step, reason, error) values (%s, %s, %s, %s, %s, %s)",
            [
                ids.new_id(),
                instance.namespace,
                instance.id,
                letter["step"],
                letter["reason"],
                _json(letter.get("error")),
            ],
        )


def _prune(instance: Instance, steps: tuple[int, ...]) -> Iterable[Statement]:
    below = (
        "with recursive gone as ("
        " select id from orchestrator.steps where instance_id = %s and id = any(%s)"
        " union all select s.id from orchestrator.steps s, gone g"
        " where s.instance_id = %s and s.parent = g.id and s.id > g.id)"
    )
    values = [instance.id, list(steps), instance.id, instance.id]
    for table, column in (("attempts", "step"), ("chunks", "step"), ("steps", "id")):
        yield (
            f"{below} delete from orchestrator.{table} t using gone"
            f" where t.instance_id = %s and t.{column} = gone.id",
            values,
        )
