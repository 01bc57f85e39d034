"""Stimuli whose decision was begun several times and never finished: what they concern faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import AttemptEnd, AttemptState, Status, StimulusKind
from orchestrator.core.undecidable import DETAIL
from orchestrator.testing.world import World
from tests.support.documents import call, doc

#: It can't be decided: every expression of the world fails as a machine does.
BOMB = {"set": {"x": "${ [.] | until(false; .) }"}}
CATCH = {"catch": {"errors": {"with": {"status": 500}}, "do": [{"then": call("t")}]}}


class Unreachable(Exception):
    """The evaluator never answers."""


def unreachable(*_: Any) -> Any:
    raise Unreachable


def world(*tasks: Any, **more: Any) -> World:
    return World(doc(*tasks, **more), evaluate=unreachable)


def bring(world: World, id: str) -> None:
    """Bring the next stimulus as one that can't be decided."""
    rows = world.rows[id]
    stimulus = rows.inbox.pop(0)
    world.apply(id, replace(stimulus, at=world.now, is_undecidable=True))


def fails(world: World, id: str) -> None:
    """The next stimulus can't be decided as it is."""
    with pytest.raises(Unreachable):
        world.apply(id, world.rows[id].inbox[0])


def test_a_start_faults_the_instance() -> None:
    told = world({"a": BOMB})
    id = told.start(run=False)
    fails(told, id)
    bring(told, id)
    assert told.instance(id).status is Status.FAULTED
    assert told.instance(id).error["detail"] == DETAIL
    assert told.steps(id) == []


def test_a_result_ends_its_attempt_and_faults_its_step_as_unknown() -> None:
    told = world({"a": {**call("x"), "output": {"as": "${ [.] | first }"}}})
    id = told.start()
    attempt = told.claim(told.ready()[0])
    end = AttemptEnd(attempt.id, AttemptState.SUCCEEDED, {"done": True})
    told.rows[id].inbox.append(told.stimulus(StimulusKind.RESULT, attempt.step, {}, ended=end))
    fails(told, id)
    bring(told, id)
    assert told.every_attempt()[0].state is AttemptState.SUCCEEDED
    assert told.step(id, "a").status is Status.FAULTED
    assert told.step(id, "a").outcome_unknown
    assert [(one["step"], one["reason"]) for one in told.rows[id].dead_letters] == [
        (attempt.step, "undecided")
    ]


def test_a_stored_item_of_the_agenda_faults_what_follows() -> None:
    told = World(doc({"a": {"set": {}}}, {"b": BOMB}), evaluate=unreachable)
    bounds, told.limits = told.limits, replace(told.limits, tasks=1)
    id = told.start(run=False)
    told.apply(id, replace(told.rows[id].inbox.pop(0), items=0))
    told.limits = bounds
    fails(told, id)
    bring(told, id)
    assert told.instance(id).status is Status.FAULTED
    assert told.steps(id, "/do/1/b") == []


def test_a_timer_faults_the_step_that_waits() -> None:
    told = world({"a": {"wait": {"seconds": 5}}})
    id = told.start()
    step = told.step(id, "a").id
    told.send_stimulus(id, StimulusKind.TIMER, step, {"kind": "wait"}, run=False)
    bring(told, id)
    assert told.step(id, "a").status is Status.FAULTED
    assert told.instance(id).status is Status.FAULTED


def test_a_try_around_it_handles_the_fault() -> None:
    task = {"try": [{"a": {"wait": {"seconds": 5}}}], **CATCH}
    told = world({"t": task})
    id = told.start()
    step = told.step(id, "a").id
    told.send_stimulus(id, StimulusKind.TIMER, step, {"kind": "wait"}, run=False)
    bring(told, id)
    told.drain()
    assert told.step(id, "a").status is Status.FAULTED
    assert told.instance(id).status is Status.RUNNING
    assert [one.task for one in told.ready()] == ["t"]


def test_a_command_is_refused() -> None:
    told = world({"a": call("x")})
    id = told.start()
    told.send_stimulus(id, StimulusKind.COMMAND, None, {"command": "suspend"}, run=False)
    bring(told, id)
    assert told.instance(id).status is Status.RUNNING
    assert told.ignored == [DETAIL]


def test_a_late_stimulus_is_ignored() -> None:
    told = world({"a": {"wait": {"seconds": 5}}}, {"b": call("x")})
    id = told.start()
    step = told.step(id, "a").id
    told.pass_time(6)
    told.send_stimulus(id, StimulusKind.TIMER, step, {"kind": "wait"}, run=False)
    bring(told, id)
    assert told.ignored == ["the step is completed already"]
    assert told.instance(id).status is Status.RUNNING


def test_a_withdrawn_step_ends_and_the_cancel_goes_on() -> None:
    told = world({"a": {**call("x"), "output": {"as": "${ [.] | first }"}}})
    id = told.start()
    attempt = told.claim(told.ready()[0])
    told.command(id, "cancel")
    assert told.step(id, "a").status is Status.RUNNING
    end = AttemptEnd(attempt.id, AttemptState.SUCCEEDED, {"done": True})
    told.rows[id].inbox.append(told.stimulus(StimulusKind.RESULT, attempt.step, {}, ended=end))
    bring(told, id)
    told.drain()
    assert told.step(id, "a").outcome_unknown
    assert told.instance(id).status is Status.CANCELLED
    assert told.instance(id).open_places == 0
