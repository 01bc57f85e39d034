"""Very large documents: they end, and each transition changes its own part only."""

from __future__ import annotations

from typing import Any

from orchestrator.core.model import Status
from orchestrator.testing.world import World
from tests.support.documents import call, doc


def run(document: dict[str, Any], input: Any = None) -> tuple[World, str]:
    world = World(document)
    return world, world.start(input=input)


def test_a_fork_of_a_thousand_branches() -> None:
    branches = [{f"b{number}": call("x")} for number in range(1_000)]
    world, id = run(doc({"all": {"fork": {"branches": branches}}}))
    assert len(world.ready()) == 1_000
    for number, attempt in enumerate(reversed(world.ready())):
        world.succeed(attempt, 999 - number)
    assert world.instance(id).status is Status.COMPLETED
    assert world.instance(id).output == list(range(1_000))


def test_fifty_levels_of_nesting() -> None:
    body: dict[str, Any] = {"set": {"n": "${ .n + 1 }"}}
    for level in range(50):
        kinds: list[dict[str, Any]] = [
            {"do": [{"in": body}]},
            {"try": [{"in": body}], "catch": {}},
            {"for": {"in": "[1, 2]"}, "while": "$index < 1", "do": [{"in": body}]},
            {"fork": {"branches": [{"in": body}], "compete": True}},
        ]
        body = kinds[level % 4]
    world, id = run(doc({"top": body}), {"n": 0})
    assert world.instance(id).output == {"n": 1}
