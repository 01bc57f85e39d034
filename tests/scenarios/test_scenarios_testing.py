"""The scenarios of errors, repair and compensation, played by `orchestrator.testing`. The outcome
of the real stack is compared with the core's in test_scenarios_stack.py; this one is the same."""

from __future__ import annotations

import pytest

from tests.support import scenarios_core, scenarios_testing
from tests.support.scenarios import Scenario, check, scenarios

PLAYABLE = [one for one in scenarios() if scenarios_testing.is_playable(one)]


def test_there_are_enough() -> None:
    assert len(PLAYABLE) >= 30


@pytest.mark.parametrize("scenario", PLAYABLE, ids=lambda one: f"{one.file}: {one.name}")
def test_scenario(scenario: Scenario) -> None:
    outcome = scenarios_testing.play(scenario)
    check(outcome, scenario.body["expect"])
    assert outcome == scenarios_core.play(scenario)
