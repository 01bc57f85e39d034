"""Cases of other runtimes' own suites, through the real API and workers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import spec
from tests.support.conformance import chosen, product
from tests.support.conformance_cases import Player
from tests.support.conformance_checks import check_words
from tests.support.conformance_stubs import Case, Servers

pytestmark = pytest.mark.slow
MISSING = spec.missing(spec.CASES, "ORCHESTRATOR_CASES")
CASES = [] if MISSING else list(spec.cases())

#: What a case may need to be run here; the other kinds of calls and processes are not built.
BUILT = {
    *("none", "http", "openapi", "oauth2", "oidc", "time", "events", "subflow", "secrets"),
    *("extensions", "lifecycle", "control:cancel", "control:suspend/resume"),
    *("shell", "script"),
}


_A_TASK = "a name that is no function is a Celery task's, which a worker may announce any time"

#: Ours against theirs; docs/conformance.md has the full account.
OURS = {
    "tideloom/undefined-function": _A_TASK,
    "ows-runtime-rust/unknown-function": _A_TASK,
    "ows-runtime-rust/function-unknown-target": _A_TASK,
    "sdk-go/raise-undefined-reference": "refused at deployment, not at run time",
    "ows-runtime-rust/case-secrets": "a secret in data must be asked for in the metadata",
    "sdk-java/openapi-get": "the case's OpenAPI document is not among the cases",
    "sdk-java/openapi-get-vars": "the case's OpenAPI document is not among the cases",
    "sdk-java/openapi-post": "the case's OpenAPI document is not among the cases",
}


@pytest.fixture(scope="module")
def player(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Player]:
    """Every chosen case is begun at once; the tests wait for each."""
    folder: Path = tmp_path_factory.mktemp("cases")
    cases = [case for case in chosen(request, "case") if case["id"] not in OURS]
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
    "case", [one for one in CASES if set(one["needs"]) <= BUILT], ids=lambda case: case["id"]
)
def test_other_runtimes_cases(player: Player, case: Case) -> None:
    if case["id"] in OURS:
        pytest.skip(OURS[case["id"]])
    if "script" in case["needs"] and shutil.which("node") is None:
        pytest.skip("this machine has no node")
    outcome = player.outcomes[case["id"]].result()
    if outcome.status == "invalid":
        assert case["expect"]["status"] == "invalid", outcome.error
        return
    spec.check_case(case, status=outcome.status, output=outcome.output, error=outcome.error)
    check_words(case["id"], outcome)
