"""A transition is of one of the common shapes only where its function in Postgres writes all that
changed: every field of every value is changed once, and what still passes is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.model import (
    Attempt,
    AttemptEnd,
    AttemptState,
    Compensation,
    Instance,
    Slice,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.database.transitions import fast_paths
from orchestrator.database.transitions.save_request import Fence, SaveRequest

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
NOW = BEGAN + timedelta(seconds=1)
RUNNING = Instance(
    "i", "shop", "w", Status.RUNNING, sequence=3, last_number=1, open_places=1, started_at=BEGAN
)
PENDING = replace(RUNNING, status=Status.PENDING, open_places=0, last_number=0, started_at=None)
CALLED = Step(1, 0, "/do/0/a", "call", call={"kind": "celery"}, started_at=BEGAN)
DONE = replace(CALLED, status=Status.COMPLETED, completion_number=2, output={"n": 1}, ended_at=NOW)
NEXT = Step(3, 0, "/do/1/b", "call", call={"kind": "celery"}, started_at=NOW)
FORK = Step(9, 0, "/do/2/all", "fork", open_children=3)
ATTEMPT = Attempt("a", 3, 1, "shop.charge")
ENDED = AttemptEnd("x", AttemptState.SUCCEEDED)


def saving(before: Instance, after: dict[str, Any], *steps: Step, **changes: Any) -> SaveRequest:
    kind = StimulusKind.RESULT if steps else StimulusKind.START
    told = Stimulus(kind, NOW, 7, id=None if steps else 5, step=1 if steps else None)
    fence = Fence("x", "t") if steps else None
    slice = Slice(before, {step.id: step for step in steps})
    made = Transition(replace(before, **after), **changes)
    return SaveRequest(slice, told, made, lambda _: "celery", fence)


ENDS = {
    "status": Status.COMPLETED,
    "open_places": 0,
    "last_number": 2,
    "ended_at": NOW,
    "output": [1],
}
STARTS = {"status": Status.RUNNING, "open_places": 1, "last_number": 3, "started_at": NOW}
SHAPES = {
    "first": saving(PENDING, STARTS, created=(NEXT,), attempts=(ATTEMPT,)),
    "following": saving(
        RUNNING, {"last_number": 3}, CALLED,
        changed=(DONE,), created=(NEXT,), attempts=(ATTEMPT,), ended=(ENDED,),
    ),
    "last": saving(RUNNING, ENDS, CALLED, changed=(DONE,), ended=(ENDED,)),
    "branch": saving(
        replace(RUNNING, open_places=3), {"open_places": 2, "last_number": 2}, CALLED, FORK,
        changed=(DONE, replace(FORK, open_children=2)), ended=(ENDED,),
    ),
}  # fmt: skip

#: What no save writes: fixed once a row is made, or kept elsewhere (history, the sequence).
_FIXED_INSTANCE = {
    *("id", "namespace", "workflow_id", "sequence", "input", "created_at"),
    *("parent_instance", "parent_step", "business_id"),
}
_FIXED_STEP = {
    "parent",
    "reference",
    "kind",
    "index",
    "input",
    "raw_input",
    "compensates",
    "started_at",
}
_OF_ENDED = {"output", "retry_in", "outcome_unknown", "arguments", "leaves_chain", "replacement"}
#: What the functions write, or nobody does, of each value.
ACCOUNTED: dict[str, set[str]] = {
    "instance": _FIXED_INSTANCE | {"last_number"},
    "changed": _FIXED_STEP | {"completion_number", "compensated_by", "output"},
    "created": {"parent", "reference", "index", "input", "raw_input", "call", "compensated_by"},
    # Every attempt is made ready, and not withdrawn.
    "attempts": {"id", "task", "queue", "priority", "time_limit", "state", "withdrawn"},
    "ended": _OF_ENDED,
}
#: And of single shapes: `save_last_call` writes the output, `save_branch_end` how many are open.
MORE = {("last", "instance"): {"output"}, ("branch", "instance"): {"open_places"}}
FORKS = _FIXED_STEP | {"open_children"}


def odd(value: Any) -> Any:
    """Another value of about the same kind."""
    if isinstance(value, Status):
        return Status.SUSPENDED
    if isinstance(value, Compensation):
        return Compensation.RUNNING
    if isinstance(value, AttemptState):
        return AttemptState.LOST
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 77
    if isinstance(value, datetime):
        return value + timedelta(seconds=9)
    if isinstance(value, str):
        return value + "z"
    return (1,) if isinstance(value, tuple) else ["odd"]


def still_of_it(told: SaveRequest, **changes: Any) -> bool:
    """Whether it is recognised with these changes."""
    return (
        fast_paths.fast_path_for(replace(told, transition=replace(told.transition, **changes)))
        is not None
    )


def unnoticed(told: SaveRequest, part: str) -> Iterator[tuple[int, str]]:
    """The fields of a part of the transition that may change, by their place in it."""
    values = getattr(told.transition, part)
    for place, value in enumerate(values if isinstance(values, tuple) else (values,)):
        for each in fields(value):
            other = replace(value, **{each.name: odd(getattr(value, each.name))})
            whole = (*values[:place], other, *values[place + 1 :]) if values is not value else other
            if still_of_it(told, **{part: whole}):
                yield place, each.name


@pytest.mark.parametrize("which", SHAPES)
def test_each_shape_is_recognised_as_itself(which: str) -> None:
    found = fast_paths.fast_path_for(SHAPES[which])
    assert found is not None
    module = {"first": "save_first_call", "following": "save_next_call"}.get(
        which, {"last": "save_last_call", "branch": "save_branch_end"}.get(which)
    )
    assert found.__module__ == f"orchestrator.database.transitions.fast_paths.{module}"


@pytest.mark.parametrize("part", ACCOUNTED)
@pytest.mark.parametrize("which", SHAPES)
def test_a_change_that_no_function_writes_is_noticed(which: str, part: str) -> None:
    found = set(unnoticed(SHAPES[which], part))
    written = ACCOUNTED[part] | MORE.get((which, part), set())
    allowed = {(0, name) for name in written}
    if (which, part) == ("branch", "changed"):
        allowed |= {(1, name) for name in FORKS}
    assert found <= allowed


@pytest.mark.parametrize("which", SHAPES)
def test_whatever_else_a_transition_does_makes_it_none_of_the_shapes(which: str) -> None:
    # `items` is part of the history row, which every function writes.
    told, parts = SHAPES[which], {*ACCOUNTED, "facts", "ignored", "refused", "items"}
    others = [each.name for each in fields(told.transition) if each.name not in parts]
    assert len(others) > 10
    assert [name for name in others if still_of_it(told, **{name: (1,)})] == []
