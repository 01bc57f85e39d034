"""Applies a transition to the rows of its instance in memory, as the database's save does."""

from __future__ import annotations

from dataclasses import replace

from orchestrator import json_codec
from orchestrator.core.model import AttemptEnd, AttemptState, Json, Step, Transition
from orchestrator.testing.in_memory_rows import LIVE, Rows
from orchestrator.testing.transition_checks import require

_INSTANCE_VALUES = ("output", "error", "context", "state")
_INPUTS = ("input", "raw_input")
_STEP_VALUES = ("output", "state", "scope", "call", "error")


def stored(value: Json) -> Json:
    """Return the value as it comes back from a database.

    Raises:
        NotJson: it is no JSON value.
    """
    if value is None or isinstance(value, str | int):
        return value
    return json_codec.loads(json_codec.encode(value))


def apply_transition(rows: Rows, change: Transition) -> None:
    """Save all of a transition that stays within its instance."""
    values = {name: stored(getattr(change.instance, name)) for name in _INSTANCE_VALUES}
    values["input"] = stored(change.inputs[0]) if change.inputs else rows.instance.input
    rows.instance = replace(change.instance, **values)
    for step in change.created:
        inputs = {name: stored(getattr(step, name)) for name in _INPUTS}
        rows.steps[step.id] = _stored_step(step, inputs)
    for step in change.changed:
        old = rows.steps[step.id]
        # Keep the stored inputs of a changed step: inputs are written only once, with the new step.
        rows.steps[step.id] = _stored_step(step, {"input": old.input, "raw_input": old.raw_input})
    _apply_attempts(rows, change)
    _apply_waits(rows, change)
    rows.chunks.update({(one.step, one.index): one for one in change.chunks})
    rows.dead_letters.extend(stored(letter) for letter in change.dead_letters)
    rows.letters_closed.extend(stored(letter) for letter in change.letters_closed)
    rows.history.append(change)
    for id in change.pruned:
        _prune(rows, id)


def end_attempt(rows: Rows, end: AttemptEnd) -> None:
    """Record how an attempt ended."""
    attempt = rows.attempts[end.attempt]
    require(attempt.state in LIVE, "an attempt has one end (I2)")
    rows.attempts[end.attempt] = replace(attempt, state=end.state)


def _apply_attempts(rows: Rows, change: Transition) -> None:
    for end in change.ended:
        end_attempt(rows, end)
    for attempt in rows.attempts.values() if change.withdrawn else ():
        if attempt.step in change.withdrawn and attempt.state in LIVE:
            ready = attempt.state is AttemptState.READY
            state = AttemptState.WITHDRAWN if ready else attempt.state
            rows.attempts[attempt.id] = replace(attempt, state=state, withdrawn=True)
    for attempt in change.attempts:
        require(attempt.id not in rows.attempts, "a new attempt has a new id")
        rows.attempts[attempt.id] = attempt


def _apply_waits(rows: Rows, change: Transition) -> None:
    for key in [key for key in rows.timers if key[0] in change.timers_removed]:
        del rows.timers[key]
    rows.timers.update({(one.step, one.kind.value): one.due_at for one in change.timers})
    for step in change.listeners_removed:
        rows.listeners.pop(step, None)
    rows.listeners.update({one.step: one for one in change.listeners})


def _stored_step(step: Step, inputs: dict[str, Json]) -> Step:
    values = {name: stored(getattr(step, name)) for name in _STEP_VALUES}
    return replace(step, **inputs, **values)


def _prune(rows: Rows, id: int) -> None:
    for child in [step.id for step in rows.steps.values() if step.parent == id]:
        _prune(rows, child)
    rows.steps.pop(id, None)
    rows.attempts = {key: one for key, one in rows.attempts.items() if one.step != id}
