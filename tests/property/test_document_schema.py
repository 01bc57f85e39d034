"""Our schema accepts what the official one accepts, document by document."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from orchestrator.document import Diagnostic, DocumentError, load
from orchestrator.document.dsl_schema import Revision, language
from orchestrator.document.schema_validation import validate
from tests.support.official_schema import Spoiler, corpus, examples, official, others
from tests.support.spec import CASES, SPEC, missing

absent = missing(SPEC, "ORCHESTRATOR_SPEC") or missing(CASES, "ORCHESTRATOR_CASES")
pytestmark = pytest.mark.skipif(absent is not None, reason=absent or "")


@pytest.mark.parametrize("revision", Revision)
def test_known_documents_are_judged_alike(revision: Revision):
    assert len(corpus()) > 250
    for document in corpus():
        expected = official(revision).is_valid(document)
        assert language(revision).validator.is_valid(document) is expected, document


@pytest.mark.parametrize("seed", range(4))
def test_spoiled_documents_are_judged_alike(seed: int):
    spoiler, verdicts = Spoiler(seed), Counter[bool]()
    for _ in range(5_000):
        document = spoiler.spoiled()
        for revision in Revision:
            expected = official(revision).is_valid(document)
            verdicts[expected] += 1
            ours = language(revision).validator.is_valid(document)
            assert ours is expected, f"{revision}: {json.dumps(document)}"
    assert min(verdicts.values()) > 1_000


def test_what_is_refused_is_explained():
    """A document that neither revision accepts has complaints, each with a place in it."""
    spoiler = Spoiler(7)
    for _ in range(2_000):
        document = spoiler.spoiled()
        refused = not any(official(revision).is_valid(document) for revision in Revision)
        complaints = validate(document)
        assert bool(complaints) is refused, json.dumps(document)
        for complaint in complaints:
            assert complaint.message
            assert complaint.message.isprintable()


def test_spoiled_documents_raise_nothing_but_our_own_errors():
    """The checks hold for whatever the official schema lets through."""
    spoiler = Spoiler(11)
    loads = [problems(json.dumps(spoiler.spoiled())) for _ in range(2_000)]
    assert loads.count(None) > 100
    for found in filter(None, loads):
        assert all(problem.line >= 1 and problem.column >= 1 for problem in found)


def problems(text: str) -> list[Diagnostic] | None:
    """What is wrong with a document; None where nothing is."""
    try:
        load(text, "application/json", check_expression=lambda program, names: None)
    except DocumentError as error:
        return error.problems
    return None


def test_examples_are_accepted():
    for name, text in examples():
        assert load(text).document["document"]["dsl"], name


def test_there_are_examples_and_cases():
    assert len(list(examples())) > 60
    assert len(list(others())) > 200
