"""Random documents under failures, kills, cancels and retries, checked by their effects.

The effects are recorded outside of the core, as the called services would see them: each stores
the idempotency keys of its calls, so that a key has an effect once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.model import (
    ENDED_STATUSES,
    OPEN_STATUSES,
    ROOT,
    Attempt,
    Compensation,
    Json,
    Status,
    Step,
)
from orchestrator.testing.in_memory_rows import Rows, chain
from orchestrator.testing.world import World
from tests.support.compensation_oracle import must_be_undone, told_late, undone
from tests.support.examples import examples
from tests.support.random_documents import Body, Outside, Sagas

pytestmark = pytest.mark.examples

MOST = 3_000


@dataclass(frozen=True)
class Effect:
    """Something that a service did, once for each key. `compensates` is the step whose effect it
    took back, `at` the number of the transition after which it happened."""

    instance: str
    key: str
    step: int
    compensates: int | None
    at: int


class Services(Outside):
    """Workers that call services, and die before or after; people who stop and repair."""

    def __init__(self, world: World, id: str, random: Random) -> None:
        super().__init__(world, id, random)
        self.effects: dict[str, Effect] = {}
        self.ends: dict[tuple[str, int], tuple[Status, Json, Json]] = {}

    def step(self) -> bool:
        acted = super().step()
        for rows in self.world.rows.values():
            self._is_final(rows)
        return acted

    def _is_final(self, rows: Rows) -> None:
        """Terminal is final: a run that has ended keeps its status, output and error (I13)."""
        now = rows.instance
        if now.status in ENDED_STATUSES:
            end = (now.status, now.output, now.error)
            assert self.ends.setdefault((now.id, now.run), end) == end

    # -- the workers --------------------

    def succeed(self) -> None:
        attempt = self.random.choice(self.world.running())
        self._effect(attempt)
        self.world.succeed(attempt, self.random.randint(0, 99))

    def fail(self) -> None:
        """Half as often as elsewhere, so that more steps complete."""
        return super().fail() if self.random.random() < 0.5 else self.succeed()

    def lose(self) -> None:
        """The service may have been called before the worker was killed."""
        attempt = self.random.choice(self.world.running())
        if self.random.random() < 0.5:
            self._effect(attempt)
        self.world.lose(attempt)

    def _effect(self, attempt: Attempt) -> None:
        rows, step = self.world.of(attempt), self.world.step_of(attempt)
        undoing = next((one for one in chain(rows, step.id).values() if one.compensates), None)
        key = f"{rows.instance.id}:{(step.call or {}).get('key', step.id)}"
        undoes = undoing.compensates if undoing else None
        made = Effect(rows.instance.id, key, step.id, undoes, len(rows.history))
        if undoing is not None:
            self._may_undo(rows, undoing)
        self.effects.setdefault(key, made)

    def _may_undo(self, rows: Rows, undoing: Step) -> None:
        """No effect is taken back before the fault, nor one that never came about."""
        undone = rows.steps[undoing.compensates or ROOT]
        assert undone.completion_number is not None
        declared = rows.workflow.task(undone.reference).metadata.get("compensate") or {}
        known = undone.status is Status.COMPLETED
        assert known or (undone.outcome_unknown and declared.get("onUnknown") is True)
        if undoing.parent == ROOT:
            assert rows.instance.status not in OPEN_STATUSES, "none before the fault"
        else:
            around = rows.steps[undoing.parent]
            assert rows.workflow.task(around.reference).metadata.get("rollback") is True
            assert (around.state or {}).get("undo") or around.status not in OPEN_STATUSES

    # -- the people --------------------

    def command(self) -> None:
        chance = self.random.random()
        if chance < 0.08 and self.world.instance(self.id).status is not Status.SUSPENDED:
            return self.world.command(self.id, "terminate" if chance < 0.02 else "cancel")
        return super().command()

    def repair(self) -> bool:
        rows = self.world.rows[self.id]
        if self.repairs <= 4 and self.random.random() < 0.5:
            self.repairs += 1
            letters = [one["step"] for one in rows.dead_letters if "undoes" in one]
            if letters and self.random.random() < 0.7:
                step, action = self.random.choice(letters), self.random.choice(["retry", "resolve"])
                self.world.command(self.id, "compensation", step=step, action=action)
            else:
                self.world.command(self.id, "compensate")
            return True
        return super().repair()


def drive(seed: int) -> tuple[World, str, Services]:
    random = Random(seed)
    child = Sagas(random).document()
    world = World(Sagas(random, child="child").document(), child, seed=seed)
    id = world.start("test/flow", {"x": 1})
    services = Services(world, id, random)
    for _ in range(MOST):
        if not services.step():
            return world, id, services
    raise AssertionError(f"the instance does not end: {world.steps(id)}")


@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_effects_are_taken_back_exactly(seed: int) -> None:
    world, id, services = drive(seed)
    for rows in world.rows.values():
        effects = [one for one in services.effects.values() if one.instance == rows.instance.id]
        late = told_late(rows) if rows.instance.id == id else set()
        check(rows, effects, late, ends_here=rows.instance.id == id)
        for step in late if rows.instance.compensation is not Compensation.NONE else ():
            child = world.rows[rows.steps[step].state["child"]]
            assert child.instance.compensation is not Compensation.RUNNING
            wanted = {one.id for one in child.steps.values() if must_be_undone(child, one)}
            given = {one.compensates for one in child.steps.values() if one.compensates is not None}
            assert repaired(child) or wanted <= given, "a late success is undone by itself"


def check(rows: Rows, effects: list[Effect], late: set[int], *, ends_here: bool) -> None:
    back = [one for one in effects if one.compensates is not None]
    calls = Counter((one.compensates, rows.steps[one.step].reference) for one in back)
    assert all(count == 1 for count in calls.values()), "none twice in effect"
    done = [one for one in undone(rows) if one.status is Status.COMPLETED]
    assert len({one.compensates for one in done}) == len(done), "none twice"
    order = [rows.steps[one.compensates or ROOT].completion_number for one in whole(rows, back)]
    assert order == sorted(order, key=lambda done: done or 0, reverse=True), "in reverse order"
    completed = rows.instance.compensation is Compensation.COMPLETED
    if ends_here and completed and not repaired(rows):
        wanted = {step.id for step in rows.steps.values() if must_be_undone(rows, step)}
        given = {step.compensates for step in rows.steps.values() if step.compensates is not None}
        assert wanted <= given | late, "none missing"
        called = {step for step in wanted - late if calls_something(rows, step)}
        assert called <= {one.compensates for one in back}, "none missing in effect"


def whole(rows: Rows, back: list[Effect]) -> list[Effect]:
    """The effects of the instance's own undoing, in their order; what a person had tried again
    comes out of order, and what a `try` rolled back came before."""
    letters = {one["undoes"] for one in rows.dead_letters if "undoes" in one}
    mine = [one for one in back if rows.steps[one.step].parent == ROOT]
    return sorted((one for one in mine if one.compensates not in letters), key=lambda one: one.at)


def repaired(rows: Rows) -> bool:
    """Whether a person has resolved a compensation, or nothing of the instance was undone."""
    facts = {fact.type for change in rows.history for fact in change.facts}
    return bool(facts & {"compensation.resolved", "compensation.terminated"})


def calls_something(rows: Rows, step: int) -> bool:
    body: Body = rows.workflow.task(rows.steps[step].reference).metadata.get("compensate") or {}
    by_itself = any(
        one.compensates == step and one.kind == "child_compensation" for one in rows.steps.values()
    )
    return not by_itself and "call" in body
