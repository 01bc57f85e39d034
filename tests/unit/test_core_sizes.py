"""The results of expressions and joins are bounded like the results of tasks (I17)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import json_codec
from orchestrator.core import Bounds
from orchestrator.core.model import Status
from orchestrator.core.payload_size import too_large
from orchestrator.testing.world import World
from tests.support.documents import call, doc

SMALL = Bounds(payload=1000)
LARGE = "x" * 700
DOUBLE = "${ .x + .x }"


def refused(*tasks: dict[str, Any], at: str, input: Any = None, limits: Bounds = SMALL) -> None:
    """A workflow of these tasks faults at one of them, for the size of a value."""
    world = World(doc(*tasks), limits=limits)
    id = world.start(input={"x": LARGE} if input is None else input)
    world.run_out(lambda _: LARGE)
    error = world.instance(id).error
    assert world.instance(id).status is Status.FAULTED
    assert (error["type"].rpartition("/")[2], error["instance"]) == ("validation", at)
    assert "1000 bytes" in error["detail"]


@pytest.mark.parametrize(
    "step",
    [
        {"set": {"x": DOUBLE}},
        {"set": {"x": "${ .x }", "y": "${ .x }"}},
        {"input": {"from": {"x": DOUBLE}}, "set": {"x": 1}},
        {"output": {"as": {"x": "${ [$input.x, $input.x] }"}}, "set": {"x": 1}},
        {"export": {"as": {"x": "${ [$input.x, $input.x] }"}}, "set": {"x": 1}},
        {"emit": {"event": {"with": {"type": "t", "data": [DOUBLE]}}}},
        {"call": "x", "with": {"x": DOUBLE}},
        {"for": {"in": "${ [.x, .x] }"}, "do": [{"a": {"set": {"y": 1}}}]},
    ],
    ids=lambda step: next(iter(step)),
)
def test_what_an_expression_makes_is_bounded(step: dict[str, Any]) -> None:
    refused({"s": step}, at="/do/0/s")


def test_the_input_of_a_sub_workflow_is_bounded() -> None:
    about = {"namespace": "test", "name": "flow", "version": "1.0.0", "input": {"x": DOUBLE}}
    refused({"s": {"run": {"workflow": about}}}, at="/do/0/s")


@pytest.mark.parametrize("grows", ["${ {x: (.x + .x)} }", {"x": "${ . }", "y": "${ . }"}])
def test_a_loop_that_doubles_its_data_ends(grows: Any) -> None:
    refused({"s": {"set": grows, "then": "s"}}, at="/do/0/s", input={"x": "x"})


def test_the_outputs_of_branches_are_bounded_together() -> None:
    branches = [{"a": call("x")}, {"b": call("x")}]
    refused({"f": {"fork": {"branches": branches}}}, at="/do/0/f")
    loop = {"for": {"in": "${ [1, 2] }"}, "do": [{"a": call("x")}]}
    refused({"f": {**loop, "metadata": {"concurrency": 2}}}, at="/do/0/f")


def test_what_a_listener_gathers_is_bounded() -> None:
    listen = {"to": {"any": [{"with": {"type": "t"}}], "until": "false or (. | length) > 3"}}
    world = World(doc({"l": {"listen": listen}}), limits=SMALL)
    id = world.start()
    for number in range(2):
        event = {"specversion": "1.0", "id": str(number), "source": "s", "type": "t"}
        world.publish(id, {**event, "data": LARGE})
    assert world.instance(id).error["instance"] == "/do/0/l"
    assert "1000 bytes" in world.instance(id).error["detail"]


def test_a_value_that_is_passed_on_keeps_its_size() -> None:
    world = World(doc({"s": {"set": "${ .x }"}}, {"t": call("x")}), limits=SMALL)
    id = world.start(input={"x": LARGE})
    world.run_out(lambda _: LARGE)
    assert world.instance(id).output == LARGE


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -7, 2**80, 1.5, "", "a", "ü", [], {}, [[]] * 3, {"ü": [1, {"b": None}]},
     [1023] * 9, {"a": {"b": {"c": ""}}}],
)  # fmt: skip
def test_the_reckoning_is_the_texts_length(value: Any) -> None:
    size = len(json_codec.encode(value))
    assert too_large(value, size) is None
    assert too_large(value, size * 3 // 4 - 1) is not None


def test_a_value_that_contains_itself_many_times_is_measured_fast() -> None:
    value: Any = "x"
    for _ in range(200):
        value = [value, value]
    assert too_large(value, 1 << 20) is not None
