"""The specification's conformance kit, through the real API and workers, unmodified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import spec
from tests.support.conformance import Product, chosen, product

MISSING = spec.missing(spec.SPEC, "ORCHESTRATOR_SPEC")
KIT = [] if MISSING else list(spec.scenarios())


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    folder: Path = tmp_path_factory.mktemp("kit")
    with product(request, folder) as running:
        yield running


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest, running: Product) -> dict[str, str]:
    """Every scenario is started at once; the tests wait for each."""
    return {
        scenario.name: running.start(running.deploy(scenario.document), scenario.input)
        for scenario in chosen(request, "scenario")
    }


@pytest.mark.skipif(not KIT, reason=MISSING or "")
@pytest.mark.parametrize("scenario", KIT, ids=lambda one: one.name)
def test_the_conformance_kit(
    running: Product, started: dict[str, str], scenario: spec.Scenario
) -> None:
    id = started[scenario.name]
    ended = running.settle(id)
    order = running.order(id)
    for then, value in scenario.then:
        spec.check(
            then,
            value,
            status=ended["status"],
            output=ended["output"],
            error=ended["error"],
            order=order,
        )
