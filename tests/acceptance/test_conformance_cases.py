"""Cases of other runtimes' own suites, through the real API and workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import spec
from tests.support.conformance import chosen, product
from tests.support.conformance_cases import Player
from tests.support.conformance_stubs import Case, Servers

MISSING = spec.missing(spec.CASES, "ORCHESTRATOR_CASES")
CASES = [] if MISSING else list(spec.cases())

#: What a case may need to be run here; the other kinds of calls and processes are not built.
BUILT = {
    *("none", "http", "openapi", "oauth2", "oidc", "time", "events", "subflow", "secrets"),
    *("extensions", "lifecycle", "control:cancel", "control:suspend/resume"),
}


@pytest.fixture(scope="module")
def player(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Player]:
    """Every chosen case is begun at once; the tests wait for each."""
    folder: Path = tmp_path_factory.mktemp("cases")
    cases = chosen(request, "case")
    secrets = {name: value for case in cases for name, value in (case.get("secrets") or {}).items()}
    with (
        Servers(cases) as servers,
        product(request, folder, resolve=servers.resolve, secrets=secrets) as running,
    ):
        player = Player(running, servers, cases)
        yield player
        player.stop()


@pytest.mark.skipif(not CASES, reason=MISSING or "")
@pytest.mark.parametrize(
    "case", [one for one in CASES if set(one["needs"]) <= BUILT], ids=lambda one: one["id"]
)
def test_other_runtimes_cases(player: Player, case: Case) -> None:
    outcome = player.outcomes[case["id"]].result()
    spec.check_case(case, status=outcome.status, output=outcome.output, error=outcome.error)
