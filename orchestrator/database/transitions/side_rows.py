"""The less common rows of a transition: timers, listeners, children, stimuli, events, dead
letters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator import ids
from orchestrator.core.engine_version import ENGINE
from orchestrator.core.model import Instance, Stimulus, StimulusKind, Transition
from orchestrator.database.connection.json_parameters import to_json, to_text
from orchestrator.database.events.event_offer_queries import REFUSE_OFFERS
from orchestrator.database.events.event_queries import LAST
from orchestrator.json_codec import dumps

Statement = tuple[str, list[Any]]

#: The mark of the saved instance, as SQL.
_INSTANCE_MARK = "i.heard_from"


def start_mark_statement(before: Instance, stimulus: Stimulus) -> Statement | None:
    """Return the statement that sets the mark of an instance whose start was delayed: its events
    count from the firing of its timer."""
    if stimulus.kind is not StimulusKind.TIMER or before.started_at is not None:
        return None
    number = (stimulus.data or {}).get("heard_from")
    if number is None:
        return None
    sql = "update orchestrator.instances set heard_from = %s where id = %s"
    return sql, [number, before.id]


def side_row_statements(instance: Instance, transition: Transition) -> Iterable[Statement]:
    """Yield the statements for the less common rows, in the order of locks and of meaning."""
    if transition.withdrawn:
        yield _withdraw(instance, transition.withdrawn)
    if transition.timers_removed:
        yield (
            "delete from orchestrator.timers where instance_id = %s and step = any(%s)",
            [instance.id, list(transition.timers_removed)],
        )
    if transition.listeners_removed:
        # Delete the listeners first and then their entries in `listener_index`. A process that
        # writes an entry holds a lock on its listener, so the first delete waits for that process,
        # and the second delete finds all entries.
        for table in ("listeners", "listener_index"):
            yield (
                f"delete from orchestrator.{table} where instance_id = %s and step = any(%s)",
                [instance.id, list(transition.listeners_removed)],
            )
    for rows in (
        _timers,
        _listeners,
        _chunks,
        _children,
        _stimuli,
        _emitted,
        _dead_letters,
        _closed_letters,
        _returned,
        _inputs,
    ):
        yield from rows(instance, transition)
    if transition.pruned:
        yield from _prune(instance, transition.pruned)


def _withdraw(instance: Instance, steps: tuple[int, ...]) -> Statement:
    return (
        """
        update orchestrator.attempts
        set withdrawn = true,
          ended_at = case state when 'ready' then clock_timestamp() else ended_at end,
          state = case state when 'ready' then 'withdrawn' else state end
        where instance_id = %s and step = any(%s) and state in ('ready', 'claimed')
        """,
        [instance.id, list(steps)],
    )


def _timers(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for timer in transition.timers:
        yield (
            """
            insert into orchestrator.timers (instance_id, step, kind, due_at)
            values (%s, %s, %s, %s)
            on conflict (instance_id, step, kind) do update set due_at = excluded.due_at
            """,
            [instance.id, timer.step, timer.kind.value, timer.due_at],
        )


def _listeners(instance: Instance, transition: Transition) -> Iterable[Statement]:
    # A listener receives the events after its mark, which is normally the newest event. A listener
    # of the instance's first transition gets the instance's mark instead: that transition may come
    # long after the start was due, and the listener must also receive the events in between.
    mark = _INSTANCE_MARK if instance.started_at is None else LAST
    for listener in transition.listeners:
        yield (
            f"""
            insert into orchestrator.listeners (
              instance_id, step, namespace, mode, filters, until, read, correlation, variables,
              look_back, heard_from)
            select %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {mark}
            from orchestrator.instances i
            where i.id = %s
            -- The process that matched the event has already stored the correlation.
            on conflict (instance_id, step) do nothing
            """,
            [
                instance.id,
                listener.step,
                instance.namespace,
                listener.mode,
                dumps(listener.filters),
                to_json(listener.until),
                listener.read,
                to_json(listener.correlation),
                to_json(listener.variables),
                listener.look_back,
                instance.id,
            ],
        )


def _chunks(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for chunk in transition.chunks:
        yield (
            """
            insert into orchestrator.item_chunks (instance_id, step, index, items)
            values (%s, %s, %s, %s)
            """,
            [instance.id, chunk.step, chunk.index, dumps(chunk.items)],
        )


def _children(instance: Instance, transition: Transition) -> Iterable[Statement]:
    """Start the sub-workflows. Raises `Superseded` where the version was removed since the core
    found it."""
    for child in transition.children:
        parent = (instance.id, child.parent_step) if child.parent_step else (None, None)
        yield (
            "select orchestrator.start_child_instance(%s, %s, %s, %s, %s, %s, %s::smallint)",
            [
                *(child.id, child.workflow_id, to_json(child.input), to_json(child.state)),
                *(*parent, ENGINE),
            ],
        )


def _stimuli(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for stimulus in transition.stimuli:
        yield (
            """
            insert into orchestrator.stimuli (instance_id, kind, step, data)
            values (%s, %s, %s, %s)
            """,
            [
                stimulus.instance or instance.id,
                stimulus.kind.value,
                stimulus.step,
                to_json(stimulus.data),
            ],
        )


def _emitted(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for event in transition.emitted:
        yield (
            """
            insert into orchestrator.events
              (id, namespace, event_id, source, type, event, instance_id)
            values (%s, %s, %s, %s, %s, %s, %s)
            on conflict do nothing
            """,
            [
                ids.new_id(),
                instance.namespace,
                to_text(event["id"]),
                to_text(event["source"]),
                to_text(event["type"]),
                dumps(event),
                instance.id,
            ],
        )


def _dead_letters(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for dead_letter in transition.dead_letters:
        yield (
            """
            insert into orchestrator.dead_letters
              (id, namespace, instance_id, step, reason, error)
            values (%s, %s, %s, %s, %s, %s)
            """,
            [
                ids.new_id(),
                instance.namespace,
                instance.id,
                dead_letter["step"],
                dead_letter["reason"],
                to_json(dead_letter.get("error")),
            ],
        )


def _closed_letters(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for dead_letter in transition.letters_closed:
        yield (
            """
            update orchestrator.dead_letters
            set resolved_at = clock_timestamp(), resolution = %s
            where instance_id = %s and step = %s and reason = 'lost' and resolved_at is null
            """,
            [dumps(dead_letter["resolution"]), instance.id, dead_letter["step"]],
        )


def _returned(instance: Instance, transition: Transition) -> Iterable[Statement]:
    if transition.returned:
        yield (
            f"""
            with unconsumed as (
              select %s::uuid as instance_id, g.step, g.event
              from unnest(%s::int[], %s::bigint[]) as g(step, event)), {REFUSE_OFFERS}
            """,
            [
                instance.id,
                [step for step, _ in transition.returned],
                [number for _, number in transition.returned],
            ],
        )


def _inputs(instance: Instance, transition: Transition) -> Iterable[Statement]:
    for edited in transition.inputs:
        yield (
            "update orchestrator.instances set input = %s where id = %s",
            [to_json(edited), instance.id],
        )


def _prune(instance: Instance, steps: tuple[int, ...]) -> Iterable[Statement]:
    with_descendants = """
        with recursive gone as (
          select id from orchestrator.steps
          where instance_id = %s and id = any(%s)
          union all
          select s.id from orchestrator.steps s, gone g
          where s.instance_id = %s and s.parent = g.id and s.id > g.id)
    """
    values = [instance.id, list(steps), instance.id, instance.id]
    for table, column in (("attempts", "step"), ("item_chunks", "step"), ("steps", "id")):
        yield (
            f"""
            {with_descendants}
            delete from orchestrator.{table} t
            using gone
            where t.instance_id = %s and t.{column} = gone.id
            """,
            values,
        )
