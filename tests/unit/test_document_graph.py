"""The blocks of a workflow: each task once, at its place, whatever the document."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from orchestrator.document import load
from orchestrator.document.graph import blocks
from orchestrator.document.model import Workflow, look_up
from tests.support.documents import doc
from tests.support.random_documents import Documents
from tests.support.spec import SPEC, missing


def inside(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every block, the compensations too."""
    for block in found:
        yield block
        parts = [block.get("body", []), block.get("catch", []), *block.get("branches", [])]
        yield from inside([*itertools.chain(*parts), *([block["undo"]] if "undo" in block else [])])


def check(workflow: Workflow) -> None:
    made = list(inside(blocks(workflow)))
    expected = {
        task.reference for task in workflow.every_task() if not task.reference.startswith("/use")
    }
    assert sorted(each["reference"] for each in made) == sorted(expected)
    for each in made:
        assert each["kind"] in look_up(workflow.document, each["reference"])
        assert each["name"]
        assert each["summary"]


@pytest.mark.parametrize("seed", range(40))
def test_every_task_of_a_random_document_is_there_once(seed: int):
    check(Workflow(Documents(Random(seed)).document()))


@pytest.mark.skipif(bool(missing(SPEC, "ORCHESTRATOR_SPEC")), reason="the specification is absent")
def test_the_specification_s_examples_can_be_drawn():
    drawn = 0
    for file in sorted(SPEC.rglob("examples/*.yaml")):
        try:
            document = load(file.read_bytes(), "application/yaml").document
        except Exception:  # noqa: BLE001  what is refused is drawn nowhere
            continue
        check(Workflow(document))
        drawn += 1
    assert drawn > 10


def test_what_a_block_says():
    undo = {"call": "payments.refund", "with": {"id": 1}}
    made = blocks(
        Workflow(
            doc(
                {"pay": {"call": "payments.charge", "metadata": {"compensate": undo}}},
                {
                    "which": {
                        "switch": [
                            {"big": {"when": ".n > 3", "then": "tell"}},
                            {"else": {"then": "end"}},
                        ]
                    }
                },
                {"nap": {"wait": {"minutes": 5}, "metadata": {"display": "quiet"}}},
                {"tell": {"emit": {"event": {"with": {"type": "a.b", "source": "s"}}}}},
                {"get": {"call": "http", "with": {"method": "post", "endpoint": "http://h/a"}}},
                {
                    "care": {
                        "try": [{"x": {"set": {}}}],
                        "catch": {"do": [{"y": {"set": {}, "then": "exit"}}]},
                    }
                },
            )
        )
    )
    pay, which, nap, tell, get, care = made
    assert pay["summary"] == "charge"
    assert pay["undo"]["name"] == pay["undo"]["summary"] == "refund"
    assert pay["undo"]["reference"] == "/do/0/pay/metadata/compensate"
    assert which["cases"] == [
        {"name": "big", "when": ".n > 3", "then": "tell"},
        {"name": "else", "when": None, "then": "end"},
    ]
    assert (nap["summary"], nap["quiet"]) == ("5 minutes", True)
    assert (tell["summary"], get["summary"]) == ("a.b", "POST http://h/a")
    assert care["body"][0]["reference"] == "/do/5/care/try/0/x"
    assert care["catch"][0] == {
        "reference": "/do/5/care/catch/do/0/y",
        "name": "y",
        "kind": "set",
        "summary": "set",
        "then": "exit",
    }
