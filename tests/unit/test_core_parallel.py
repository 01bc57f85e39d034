"""Forks and loops: parallel, one after the other, many."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import AttemptState, Status
from orchestrator.testing.world import World
from tests.support.documents import boom, call, doc


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def fork(*branches: dict[str, Any], compete: bool = False) -> dict[str, Any]:
    return {"f": {"fork": {"branches": list(branches), "compete": compete}}}


def test_a_fork_gives_its_outputs_in_the_order_of_declaration() -> None:
    world, id = run(doc(fork({"a": call("a")}, {"b": call("b")}, {"c": {"set": {"c": 1}}})))
    one, two = world.ready()
    world.succeed(two, "B")
    assert world.instance(id).open_places == 1
    world.succeed(one, "A")
    assert world.instance(id).output == ["A", "B", {"c": 1}]
    assert world.needs["children"] == 1


def test_branches_begin_with_the_forks_input_and_may_be_skipped() -> None:
    branches = ({"a": {"set": {"got": "${ . }"}}}, {"b": {"if": "false", "set": {}}})
    world, id = run(doc(fork(*branches)), 7)
    assert world.instance(id).output == [{"got": 7}, 7]


def test_a_fault_in_a_branch_withdraws_the_others() -> None:
    inner = {"do": [{"x": call("x")}, {"y": call("y")}]}
    world, id = run(doc(fork({"a": inner}, {"w": {"wait": "PT1H"}}, {"b": call("b")})))
    _, bad = world.ready()
    world.fail(bad)
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).error["instance"] == "/do/0/f/fork/branches/2/b"
    assert {world.step(id, ref).status for ref in ("a", "x", "w")} == {Status.CANCELLED}
    assert world.rows[id].timers == {}
    assert {one.state for one in world.rows[id].attempts.values()} == {
        AttemptState.WITHDRAWN,
        AttemptState.FAILED,
    }


def test_the_first_to_complete_wins_and_the_others_are_withdrawn() -> None:
    document = doc(
        fork({"a": call("a")}, {"b": call("b")}, {"c": call("c")}, compete=True), {"n": call("n")}
    )
    world, id = run(document)
    one, two, three = world.ready()
    world.claim(one)
    world.succeed(two, "B")
    assert world.step(id, "f").output == "B"
    assert world.rows[id].attempts[three.id].state is AttemptState.WITHDRAWN
    assert world.ready()[0].task == "n"
    world.succeed(one, "late")
    assert world.step(id, "a").output == "late"
    assert world.step(id, "a").status is Status.COMPLETED
    world.succeed(world.ready()[0], "end")
    assert world.instance(id).output == "end"


def test_competitors_may_fail_until_the_last_one_does() -> None:
    world, id = run(doc(fork({"a": call("a")}, {"b": boom(418)}, {"c": call("c")}, compete=True)))
    one, two = world.ready()
    world.fail(one)
    assert world.instance(id).status is Status.RUNNING
    world.fail(two, {"type": "https://example.com/last", "status": 599})
    assert world.instance(id).error["status"] == 599


def test_a_thousand_branches_cost_the_same_each() -> None:
    branches = [{f"b{i}": call("x")} for i in range(1000)]
    world, id = run(doc(fork(*branches)))
    assert len(world.ready()) == 1000
    assert max(len(change.created) for change in world.rows[id].history) <= 101
    for number, attempt in enumerate(world.ready()):
        world.succeed(attempt, number)
    changes = world.rows[id].history[12:-1]
    assert {(len(one.changed), len(one.created)) for one in changes} == {(2, 0)}
    assert world.instance(id).output == list(range(1000))


# -- for --------------------


def each(*tasks: dict[str, Any], source: Any = ".items", **more: Any) -> dict[str, Any]:
    return {"e": {"for": {"in": source}, "do": list(tasks), **more}}


ADD = {"add": {"set": {"sum": "${ (.sum // 0) + $item * ($index + 1) }"}}}


@pytest.mark.parametrize("count", [0, 1, 5, 99, 100, 101, 1000])
def test_a_loop_visits_every_item_in_order(count: int) -> None:
    world, id = run(doc(each(ADD)), {"items": list(range(count))})
    expected = sum(n * (n + 1) for n in range(count)) if count else None
    assert world.instance(id).output.get("sum") == expected
    assert len(world.rows[id].chunks) == (0 if count <= 100 else -(-count // 100))


def test_a_long_loop_of_calls_looks_at_one_stretch_of_items_at_a_time() -> None:
    task = {"c": {"call": "x", "with": {"n": "${ $item }"}}}
    world, id = run(doc(each(task)), {"items": list(range(250))})
    world.work(lambda request: request["kwargs"]["n"])
    assert world.instance(id).output == 249
    change = world.rows[id].history[120]
    assert (len(change.changed), len(change.created), len(change.chunks)) == (1, 1, 0)


def test_the_variables_have_names() -> None:
    loop = {
        "for": {"each": "pet", "at": "place", "in": "[5, 6]"},
        "do": [{"s": {"set": "${ . + [[$pet, $place]] }"}}],
    }
    world, id = run(doc({"e": loop}), [])
    assert world.instance(id).output == [[5, 0], [6, 1]]


def test_while_is_tested_before_each_iteration() -> None:
    body = each({"s": {"set": "${ . + [$item] }"}}, source="[1, 2, 3]", **{"while": "$item < 3"})
    world, id = run(doc(body), [])
    assert world.instance(id).output == [1, 2]


def test_null_passes_through_and_other_things_fault() -> None:
    world, id = run(doc(each(ADD)), {"x": 1})
    assert world.instance(id).output == {"x": 1}
    world, id = run(doc(each(ADD)), {"items": 3})
    assert world.instance(id).error["type"].endswith("/expression")


def test_an_array_may_be_in_the_document() -> None:
    world, id = run(
        doc(each({"s": {"set": "${ . + [$item.n] }"}}, source=[{"n": 1}, {"n": 2}])), []
    )
    assert world.instance(id).output == [1, 2]


def test_exit_ends_an_iteration_only() -> None:
    tasks = ({"a": {"set": "${ . + [$item] }", "then": "exit"}}, {"b": {"set": "never"}})
    world, id = run(doc(each(*tasks, source="[1, 2]")), [])
    assert world.instance(id).output == [1, 2]


def test_iterations_that_skip_everything_pass_the_data_on() -> None:
    task = {"a": {"if": "$item % 50 == 0", "set": "${ . + [$item] }"}}
    world, id = run(doc(each(task, source="[range(1000)]")), [])
    assert world.instance(id).output == list(range(0, 1000, 50))


def test_iterations_may_run_side_by_side() -> None:
    task = {"c": {"call": "x", "with": {"n": "${ $item }", "of": "${ .k }"}}}
    after = {"d": {"set": {"n": "${ . }"}}}
    body = each(task, after, source="[range(10)]", metadata={"concurrency": 4})
    world, id = run(doc(body), {"k": 1})
    seen = []
    while world.ready():
        ready = world.ready()
        seen.append(len(ready))
        world.succeed(ready[-1], world.call_of(ready[-1])["kwargs"]["n"])
    assert max(seen) == 4
    assert world.instance(id).output == [{"n": n} for n in range(10)]


def test_in_parallel_while_stops_iterations_that_have_not_begun() -> None:
    task = {"c": {"call": "x", "with": {"n": "${ $item }"}}}
    body = each(task, source="[range(10)]", metadata={"concurrency": 2}, **{"while": "$item < 5"})
    world, id = run(doc(body))
    world.work(lambda request: request["kwargs"]["n"])
    assert world.instance(id).output == [0, 1, 2, 3, 4]


def test_side_by_side_a_fault_withdraws_the_others() -> None:
    body = each({"c": call("x")}, source="[1, 2, 3]", metadata={"concurrency": 3})
    world, id = run(doc(body))
    world.fail(world.ready()[1])
    assert world.instance(id).status is Status.FAULTED
    assert world.ready() == []


def test_ten_thousand_items() -> None:
    world, id = run(doc(each(ADD)), {"items": [1] * 10_000}, limits=Bounds(tasks=500))
    assert world.instance(id).output["sum"] == 10_000 * 10_001 // 2


def test_a_long_loop_deletes_its_races_when_their_losers_have_ended() -> None:
    race = fork({"a": call("a")}, {"d": {"do": [{"b": call("b")}, {"c": call("c")}]}}, compete=True)
    again = {"again": {"switch": [{"more": {"when": '. != "end"', "then": "f"}}]}}
    world, id = run(doc(race, again), limits=Bounds(kept_turns=2))
    losers = []
    for turn in range(8):
        won, lost = world.ready()
        losers.append(world.claim(lost))
        world.succeed(won, "end" if turn == 7 else turn)
    assert world.instance(id).status is Status.COMPLETED
    assert world.instance(id).open_places == 8, "all losers are still out there"
    for attempt in reversed(losers):
        world.succeed(attempt, "late")
    assert world.instance(id).open_places == 0
    # The steps of the first turns are stored, the others are deleted with all below them.
    assert len(world.steps(id, "/do/0/f")) == 2
    assert len(world.steps(id, "/do/0/f/fork/branches/1/d")) == 2
    assert not [
        one for one in world.rows[id].attempts.values() if one.step not in world.rows[id].steps
    ]
