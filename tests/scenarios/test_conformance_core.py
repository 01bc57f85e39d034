"""The conformance kit and other runtimes' cases, run by the core alone."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import Status
from orchestrator.document import DocumentError, load
from orchestrator.testing.world import World
from tests.support import spec

KIT = [] if spec.missing(spec.SPEC, "ORCHESTRATOR_SPEC") else list(spec.scenarios())
OTHERS = [] if spec.missing(spec.CASES, "ORCHESTRATOR_CASES") else list(spec.cases())

#: The kinds that the core alone can run; acceptance tests cover calls over the network.
ALONE = {
    "none",
    "subflow",
    "secrets",
    "extensions",
    "time",
    "control:cancel",
    "control:suspend/resume",
    "lifecycle",
}

#: Where this product differs from other runtimes, with the reason; see docs/conformance.md.
OURS = {
    "tideloom/undefined-function": "a name that is no function is a Celery task's",
    "ows-runtime-rust/unknown-function": "a name that is no function is a Celery task's",
    "ows-runtime-rust/function-unknown-target": "a name that is no function is a Celery task's",
    "sdk-go/raise-undefined-reference": "refused at deployment, not at run time",
    "ows-runtime-rust/case-secrets": "a secret in data must be asked for in the metadata",
}


@pytest.mark.skipif(not KIT, reason=spec.missing(spec.SPEC, "ORCHESTRATOR_SPEC") or "")
@pytest.mark.parametrize(
    "scenario", [one for one in KIT if "call: http" not in one.document], ids=lambda one: one.name
)
def test_conformance_kit(scenario: spec.Scenario) -> None:
    if "call: openapi" in scenario.document:
        pytest.skip("needs the network's stub: run by the acceptance tests")
    world = World(load(scenario.document).document)
    id = world.start(input=scenario.input)
    instance = world.instance(id)
    for then, value in scenario.then:
        spec.check(
            then,
            value,
            status=instance.status.value,
            output=instance.output,
            error=instance.error,
            order=world.order(id),
        )


def _is_alone(case: dict[str, Any]) -> bool:
    scheduled = "schedule" in case["id"]
    return set(case["needs"]) <= ALONE and not scheduled


@pytest.mark.skipif(not OTHERS, reason=spec.missing(spec.CASES, "ORCHESTRATOR_CASES") or "")
@pytest.mark.parametrize(
    "case", [one for one in OTHERS if _is_alone(one)], ids=lambda one: one["id"]
)
def test_other_runtimes_cases(case: dict[str, Any]) -> None:
    if case["id"] in OURS:
        pytest.skip(OURS[case["id"]])
    if case["expect"]["status"] == "invalid":
        with pytest.raises(DocumentError):
            load(spec.case_document(case))
        return
    documents = [load(spec.case_document(case, file)).document for file in _files(case)]
    if case["expect"]["status"] == "valid":
        return
    world = World(*documents, secrets=case.get("secrets"), limits=Bounds(other_namespaces=True))
    about = documents[0]["document"]
    id = world.start(f"{about['namespace']}/{about['name']}/{about['version']}", case["input"])
    _control(world, id, case)
    instance = world.instance(id)
    spec.check_case(
        case, status=instance.status.value, output=instance.output, error=instance.error
    )


def _files(case: dict[str, Any]) -> list[str]:
    return [case["file"], *(case.get("also_register") or ())]


def _control(world: World, id: str, case: dict[str, Any]) -> None:
    if "control:cancel" in case["needs"]:
        return world.command(id, "cancel")
    if "control:suspend/resume" in case["needs"]:
        world.command(id, "suspend")
        assert world.instance(id).status is Status.SUSPENDED
        world.command(id, "resume")
    return world.run_out()
