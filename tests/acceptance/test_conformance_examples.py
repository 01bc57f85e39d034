"""The specification's official examples, through the real API and workers, with stubs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import spec
from tests.support.conformance import chosen, product
from tests.support.conformance_cases import Player
from tests.support.conformance_examples import SECRETS, runnable
from tests.support.conformance_stubs import Case, Servers
from tests.support.official_schema import examples

MISSING = spec.missing(spec.SPEC, "ORCHESTRATOR_SPEC")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING or "")]


@pytest.fixture(scope="module")
def player(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Player]:
    """Every chosen example is begun at once; the tests wait for each."""
    folder: Path = tmp_path_factory.mktemp("examples")
    with product(request, folder, secrets=SECRETS) as running:
        player = Player(running, Servers(()), chosen(request, "case"))
        yield player
        player.stop()


@pytest.mark.parametrize("case", [] if MISSING else list(runnable()), ids=lambda case: case["id"])
def test_an_official_example_runs(player: Player, case: Case) -> None:
    outcome = player.outcomes[case["id"]].result()
    assert outcome.status != "invalid", outcome.error
    spec.check_case(case, status=outcome.status, output=outcome.output, error=outcome.error)


def test_every_official_example_is_accepted(player: Player) -> None:
    for name, text in examples():
        answer = player.product.stack.client.post(
            "/v1/workflows?dry_run=true", content=text, headers={"Content-Type": "application/yaml"}
        )
        assert answer.status_code == 200, f"{name}: {answer.text}"
