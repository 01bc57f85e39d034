"""The specification's own documents and those of other runtimes: accepted, or refused for a
reason that has a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.document import InvalidDocument, load
from orchestrator.expressions import Evaluator
from tests.support.official_schema import examples
from tests.support.spec import CASES, SPEC, case_document, cases, missing, scenarios

no_spec = missing(SPEC, "ORCHESTRATOR_SPEC")
no_cases = missing(CASES, "ORCHESTRATOR_CASES")

#: What other runtimes start and fault, and we refuse.
REFUSED = {
    "ows-runtime-rust/case-secrets": "a secret would become data",
    "sdk-go/raise-undefined-reference": "no error 'UndefinedError'",
}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    found = Evaluator()
    yield found
    found.close()


@pytest.mark.skipif(no_spec is not None, reason=str(no_spec))
@pytest.mark.parametrize(("name", "text"), [] if no_spec else list(examples()))
def test_official_examples_are_accepted(name: str, text: str, evaluator: Evaluator):
    loaded = load(text, check_expression=evaluator.check)
    for warning in loaded.warnings:
        assert "not supported yet" in warning.message, warning


@pytest.mark.skipif(no_spec is not None, reason=str(no_spec))
@pytest.mark.parametrize("scenario", [] if no_spec else list(scenarios()), ids=lambda one: one.name)
def test_the_conformance_kits_documents_are_accepted(scenario: Any, evaluator: Evaluator):
    assert load(scenario.document, check_expression=evaluator.check).document["do"]


@pytest.mark.skipif(no_cases is not None, reason=str(no_cases))
@pytest.mark.parametrize("case", [] if no_cases else list(cases()), ids=lambda case: case["id"])
def test_documents_of_other_runtimes(case: dict[str, Any], evaluator: Evaluator):
    text = case_document(case)
    reason = REFUSED.get(case["id"], "")
    if case["expect"]["status"] != "invalid" and not reason:
        load(text, check_expression=evaluator.check)
        return
    with pytest.raises(InvalidDocument) as caught:
        load(text, check_expression=evaluator.check)
    assert reason in str(caught.value)
    assert all(problem.line and problem.column for problem in caught.value.problems)
