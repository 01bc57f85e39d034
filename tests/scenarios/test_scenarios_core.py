"""The scenarios of errors, repair and compensation, played against the core alone."""

from __future__ import annotations

import pytest

from tests.support.scenarios import Scenario, check, scenarios
from tests.support.scenarios_core import play


def test_there_are_enough() -> None:
    assert len(scenarios()) >= 60
    assert len({one.name for one in scenarios()}) == len(scenarios())


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda one: f"{one.file}: {one.name}")
def test_scenario(scenario: Scenario) -> None:
    check(play(scenario), scenario.body["expect"])
