"""The scenarios of errors, repair and compensation, played on the real stack: an API, workers,
a beat, and tasks that fail, hang and die. Each outcome must be the core's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import scenarios_testing
from tests.support.scenarios import Outcome, Scenario, check, scenarios
from tests.support.scenarios_core import play
from tests.support.scenarios_stack import AT_ONCE, Stage, stage_on

#: Played with every change: two branches, one that hangs, one that faults, a compensation.
WITNESS = "a step in flight is waited for and undone"


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, module_broker_url: str
) -> Iterator[Stage]:
    with stage_on(tmp_path_factory.mktemp("stage"), module_database_url, module_broker_url) as made:
        yield made


@pytest.fixture(scope="module")
def outcomes(stage: Stage) -> dict[str, Outcome]:
    """The outcomes of all scenarios but the witness, which ran in parallel."""
    stage.worker("more", concurrency=2 * AT_ONCE - 2)
    return stage.play([one for one in scenarios() if one.name != WITNESS])


def test_witness(stage: Stage) -> None:
    (scenario,) = (one for one in scenarios() if one.name == WITNESS)
    agree(stage.play([scenario])[WITNESS], scenario)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "scenario",
    [one for one in scenarios() if one.name != WITNESS],
    ids=lambda one: f"{one.file}: {one.name}",
)
def test_scenario(scenario: Scenario, outcomes: dict[str, Outcome]) -> None:
    agree(outcomes[scenario.name], scenario)


def agree(real: Outcome, scenario: Scenario) -> None:
    """The stack's outcome is what the file expects, equal to the core's, and to that of the same
    document with the same stubs under `orchestrator.testing`."""
    check(real, scenario.body["expect"])
    assert real == play(scenario)
    if scenarios_testing.is_playable(scenario):
        assert real == scenarios_testing.play(scenario)
