"""Random documents under random stimuli: they end, and the invariants are true."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core import Bounds
from orchestrator.core.model import OPEN_STATUSES, ROOT, AttemptState, Compensation, Status, Step
from orchestrator.document.model import Workflow
from orchestrator.testing.in_memory_rows import LIVE, Rows
from orchestrator.testing.world import World
from tests.support.compensation_oracle import asked_for_nothing, must_be_undone, told_late, undone
from tests.support.examples import examples
from tests.support.random_documents import Documents, Outside

pytestmark = pytest.mark.examples

MOST = 3_000


def drive(seed: int) -> tuple[World, str, Outside]:
    """Make a document and run it to its end, checking every state on the way."""
    random = Random(seed)
    limits = Bounds(tasks=random.choice([1, 3, 100]), items=2)
    world = make(random, seed, limits)
    id = world.start("test/flow", {"x": 1})
    outside = Outside(world, id, random)
    for _ in range(MOST):
        for rows in world.rows.values():
            look(world, rows)
        if not outside.step():
            return world, id, outside
    raise AssertionError(f"the instance does not end: {world.steps(id)}")


def make(random: Random, seed: int, limits: Bounds | None = None) -> World:
    child = Documents(random).document()
    return World(Documents(random, child="child").document(), child, seed=seed, limits=limits)


def look(world: World, rows: Rows) -> None:
    """Check the invariants between any two transitions."""
    leaves = [
        step
        for step in rows.steps.values()
        if step.status in OPEN_STATUSES and step.open_children == 0
    ]
    assert rows.instance.open_places == len(leaves)
    for step in leaves:
        assert is_awaited(world, rows, step), f"nothing will move {step} (I5)"
    for step in rows.steps.values():
        starts = [
            one
            for one in rows.attempts.values()
            if one.step == step.id and one.state is AttemptState.LOST and one.starts > 3
        ]
        assert not starts, "starts after losses are bounded (I4)"
    if rows.instance.status in OPEN_STATUSES:
        assert leaves or rows.inbox, "an open instance awaits something (I5)"
    if rows.instance.run == 1:
        begun = Counter(
            (step.parent, step.reference, step.index)
            for step in rows.steps.values()
            # Compensations of a lost branch begin under its fork, for each iteration.
            if step.parent != ROOT
            and step.compensates is None
            and rows.steps[step.parent].kind in ("for", "fork")
        )
        once = not begun or max(begun.values()) == 1
        assert once or replaced(rows), "branches and iterations begin once"


def replaced(rows: Rows) -> bool:
    """Whether a person had a step replaced by another."""
    return any(fact.type == "task.passed" for change in rows.history for fact in change.facts)


def is_awaited(world: World, rows: Rows, step: Step) -> bool:
    if rows.instance.status is Status.SUSPENDED or step.id in rows.listeners:
        return True
    if any(one.inbox for one in world.rows.values()):
        return True  # postponed commands come later
    child = world.rows.get((step.state or {}).get("child", ""))
    if child is not None:
        moving = child.instance.status in OPEN_STATUSES
        undoing = child.instance.compensation is Compensation.RUNNING
        return moving or undoing or child.instance.open_places > 0
    timed = any(of == step.id for of, _ in rows.timers)
    return timed or any(one.step == step.id and one.state in LIVE for one in rows.attempts.values())


@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_every_instance_ends_and_leaves_nothing_behind(seed: int) -> None:
    world, _, _ = drive(seed)
    for rows in world.rows.values():
        assert rows.instance.status not in OPEN_STATUSES
        assert rows.instance.compensation is not Compensation.RUNNING
        assert rows.instance.open_places == 0
        assert not [step for step in rows.steps.values() if step.status in OPEN_STATUSES]
        assert not [one for one in rows.attempts.values() if one.state in LIVE]
        assert rows.timers == {}
        assert rows.listeners == {}


@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_exactly_what_completed_is_undone_in_reverse_order(seed: int) -> None:
    world, id, _ = drive(seed)
    for rows in world.rows.values():
        check_undone(rows, whole=rows.instance.id == id)


def check_undone(rows: Rows, *, whole: bool) -> None:
    steps = undone(rows)
    targets = [step.compensates for step in steps]
    assert len(set(targets)) == len(targets), "nothing is undone twice (I8)"
    order = [
        rows.steps[step.compensates or ROOT].completion_number or 0
        for step in steps
        if step.parent == ROOT
    ]
    assert order == sorted(order, reverse=True), "in reverse order of completion (I8)"
    hold = Workflow(dict(rows.workflow.document)).metadata.get("onFault") == "hold"
    ended_well = rows.instance.status is Status.COMPLETED
    held = rows.instance.status is Status.FAULTED and hold
    if whole and not (ended_well or held):
        wanted = {step.id for step in rows.steps.values() if must_be_undone(rows, step)}
        asked = asked_for_nothing(rows) | told_late(rows)
        assert wanted <= set(targets) | asked, "nothing is missing (I8)"
        by_root = {step.compensates for step in steps if step.parent == ROOT}
        assert by_root <= wanted, "nothing else is undone (I8)"
    letters = {letter["step"] for letter in rows.dead_letters}
    for step in steps:
        assert (step.status is Status.COMPLETED) != (step.id in letters)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_nothing_is_undone_while_anything_is_in_flight(seed: int) -> None:
    random = Random(seed)
    world = make(random, seed)
    id = world.start("test/flow", {"x": 1})
    outside = Outside(world, id, random)
    rows = world.rows[id]
    for _ in range(MOST):
        known = len(rows.history)
        flying = {one.id for one in world.running(id)}
        if not outside.step():
            return
        for change in rows.history[known:]:
            flying -= {end.attempt for end in change.ended}
            if any(step.compensates is not None and step.parent == ROOT for step in change.created):
                assert not flying, "none before all attempts in flight have ended (I8)"


@settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    one, id, _ = drive(seed)
    other, same, _ = drive(seed)
    assert id == same
    assert one.rows[id].history == other.rows[id].history
