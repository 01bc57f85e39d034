"""The scenarios of errors, repair and compensation, played against the core alone."""

from __future__ import annotations

import pytest

from tests.support.scenarios import Play, Scenario, scenarios
from tests.support.world import World

ALL = list(scenarios())


def test_there_are_enough() -> None:
    assert len(ALL) >= 60
    assert len({one.name for one in ALL}) == len(ALL)


@pytest.mark.parametrize("scenario", ALL, ids=lambda one: f"{one.file}: {one.name}")
def test_scenario(scenario: Scenario) -> None:
    play = Play(scenario)
    check(play.run(), play.id, scenario)


def check(world: World, id: str, scenario: Scenario) -> None:
    expect = scenario.body["expect"]
    instance = world.instance(id)
    assert scenario.asked == expect["asked"]
    assert instance.status == expect["status"]
    assert instance.compensation == expect.get("compensation", "none")
    assert instance.run == expect.get("run", 1)
    if "output" in expect:
        assert instance.output == expect["output"]
    for name, value in expect.get("error", {}).items():
        assert instance.error[name] == value
    assert len(world.rows[id].dead_letters) == expect.get("letters", 0)
    unknown = [step.ref.rsplit("/", 1)[-1] for step in world.steps(id) if step.unknown]
    assert unknown == expect.get("unknown", [])
    assert instance.open == 0
