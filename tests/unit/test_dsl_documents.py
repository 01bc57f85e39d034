"""Workflows in code: every document of the language can be read, written and made in code."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator.document.parser import parse
from orchestrator.dsl import Workflow
from tests.support.random_documents import Documents
from tests.support.rebuilt_workflows import rebuilt, same
from tests.support.spec import PROJECT, SPEC, missing

OWN = [*sorted((PROJECT / "examples").rglob("*.yaml")), *sorted((PROJECT / "docs").rglob("*.yaml"))]
OFFICIAL = sorted(SPEC.glob("examples*/*.yaml"))


def value(path: Path) -> Any:
    return parse(path.read_text()).value


def assert_round_trip(document: Any) -> None:
    made = Workflow.from_document(document)
    assert made.document() == document
    assert parse(made.to_yaml()).value == document


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_own_documents_are_read_and_written_unchanged(path: Path):
    document = value(path)
    if not isinstance(document, dict) or "document" not in document:
        pytest.skip("not a workflow")
    assert_round_trip(document)
    assert same(rebuilt(document).document()) == same(document)


@pytest.mark.skipif(not OFFICIAL, reason=missing(SPEC, "ORCHESTRATOR_SPEC") or "no examples")
@pytest.mark.parametrize("path", OFFICIAL, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestOfficialExamples:
    def test_is_read_and_written_unchanged(self, path: Path):
        assert_round_trip(value(path))

    def test_can_be_made_in_code(self, path: Path):
        document = value(path)
        made = rebuilt(value(path)).document()
        assert same(made) == same(document)


def test_random_documents_are_read_and_written_unchanged():
    random = Random("round trip")
    for _ in range(200):
        assert_round_trip(Documents(random).document())
