"""Documents written from the specification, table by table: the core alone, by a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.document import load
from orchestrator.testing.instance_store import EPOCH
from orchestrator.testing.world import World
from tests.support.spec import PROJECT, yaml

HEAD = "document: {dsl: '1.0.3', namespace: test, name: n, version: '1.0.0'}\n"
LANGUAGE = yaml((PROJECT / "tests/support/conformance_language.yaml").read_text())


@pytest.mark.parametrize("case", LANGUAGE, ids=lambda one: one["name"])
def test_a_document_ends_as_the_specification_says(case: dict[str, Any]) -> None:
    texts = [HEAD + case["document"], *case.get("also", ())]
    world = World(*(load(text).document for text in texts))
    id = world.start("test/n/", case.get("input"))
    world.run_out()
    instance = world.instance(id)
    assert instance.status.value == case["status"], instance.error
    assert instance.output == case.get("output")
    assert instance.context == case.get("context")
    told = case.get("error") or {}
    assert {name: (instance.error or {}).get(name) for name in told} == told
    assert (world.now - EPOCH).total_seconds() == case.get("seconds", 0)
