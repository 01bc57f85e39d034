"""Events: emitted and listened for."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import Status, StimulusKind
from orchestrator.testing.world import World
from tests.support.documents import call, doc


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def found(data: Any, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": data, **more}


def listen(to: dict[str, Any], foreach: Any = None, **more: Any) -> dict[str, Any]:
    body = {"listen": {"to": to, **more}}
    return {"l": body if foreach is None else {**body, "foreach": foreach}}


ONE = {"one": {"with": {"type": "t"}}}


def test_an_emitted_event_is_the_output() -> None:
    attributes = {
        "type": "com.x",
        "source": "https://x.example",
        "data": {"n": "${ .n }"},
        "mine": "y",
    }
    world, id = run(doc({"e": {"emit": {"event": {"with": attributes}}}}), {"n": 1})
    (event,) = world.events
    assert world.instance(id).output == event
    assert event == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "https://x.example",
        "time": "2026-01-01T00:00:00Z",
        "type": "com.x",
        "data": {"n": 1},
        "mine": "y",
    }


def test_the_default_source_is_the_workflow() -> None:
    world, _ = run(doc({"e": {"emit": {"event": {"with": {"type": "com.x"}}}}}))
    assert world.events[0]["source"] == "/test/flow/1.0.0"


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"id": "${ .long }"}, "id: is longer than 1000 bytes"),
        ({"source": "a b"}, "source: is not a URI"),
        ({"subject": "${ .long }"}, "subject: is longer than 1000 bytes"),
        ({"time": "${ .long }"}, "time: is longer than 1000 bytes"),
        ({"More": "x"}, "More: an attribute's name has lower-case letters and digits only"),
    ],
)
def test_an_event_that_the_api_would_refuse_is_not_emitted(
    attributes: dict[str, Any], told: str
) -> None:
    """An id of 4 kB fits into no index: the transition could never be saved."""
    document = doc({"e": {"emit": {"event": {"with": {"type": "t", **attributes}}}}})
    world, id = run(document, {"long": "x" * 1001})
    error = world.instance(id).error
    assert error["type"].endswith("/validation")
    assert told in error["detail"]
    assert world.events == []


def test_an_event_without_a_type_is_a_fault() -> None:
    world, id = run(doc({"e": {"emit": {"event": {"with": {"type": "${ null }"}}}}}))
    assert world.instance(id).error["type"].endswith("/expression")
    assert world.events == []


def test_a_listener_waits_and_gives_an_array() -> None:
    world, id = run(doc(listen(ONE)))
    assert world.instance(id).status is Status.WAITING
    (listener,) = world.rows[id].listeners.values()
    assert (listener.mode, listener.filters, listener.read) == (
        "one",
        [{"with": {"type": "t"}}],
        "data",
    )
    world.publish(id, found({"n": 1}))
    assert world.instance(id).output == [{"n": 1}]
    assert world.rows[id].listeners == {}


@pytest.mark.parametrize(
    ("read", "expected"),
    [("data", 5), ("envelope", found(5, data_base64="NQ==")), ("raw", "NQ==")],
)
def test_what_is_read_of_an_event(read: str, expected: Any) -> None:
    world, id = run(doc(listen(ONE, read=read)))
    world.publish(id, found(5, data_base64="NQ=="))
    assert world.instance(id).output == [expected]


def test_filters_go_out_unevaluated_with_the_arguments_they_need() -> None:
    filters = [{"with": {"type": "t", "data": "${ .x > $input.least and $context == null }"}}]
    world, id = run(doc(listen({"any": filters})), {"least": 3})
    (listener,) = world.rows[id].listeners.values()
    assert listener.filters == filters
    assert listener.variables == {"input": {"least": 3}, "context": None}


def test_correlations_that_expect_something_are_bound_at_once() -> None:
    correlate = {
        "a": {"from": ".data.a", "expect": ".id"},
        "b": {"from": ".data.b", "expect": "${ .id + 1 }"},
        "c": {"from": ".data.c", "expect": "constant"},
        "d": {"from": ".data.d"},
    }
    world, id = run(
        doc(listen({"one": {"with": {"type": "t"}, "correlate": correlate}})), {"id": 7}
    )
    (listener,) = world.rows[id].listeners.values()
    assert listener.correlation == {"a": 7, "b": 8, "c": "constant"}
    keys = {**listener.correlation, "d": "new"}
    world.publish(id, found(1), correlation=keys)
    kinds = [fact.type for fact in world.facts(id) if "correlation" in fact.type]
    assert kinds == ["workflow.correlation-started", "workflow.correlation-completed"]
    assert world.facts(id, "workflow.correlation-completed")[0].data == {"keys": keys}


def test_all_wants_one_event_for_each_filter() -> None:
    world, id = run(doc(listen({"all": [{"with": {"type": "a"}}, {"with": {"type": "b"}}]})))
    world.publish(id, found("B"), matches=[1])
    world.publish(id, found("B again"), matches=[1])
    assert world.instance(id).status is Status.WAITING
    world.publish(id, found("A or B"), matches=[0, 1])
    assert world.instance(id).output == ["B", "A or B"]


def test_any_listens_until_its_expression_is_true() -> None:
    world, id = run(doc(listen({"any": [], "until": ". | length >= 3"})))
    for number in range(3):
        world.publish(id, found(number))
    assert world.instance(id).output == [0, 1, 2]


def test_any_listens_until_another_event_which_is_not_part_of_the_output() -> None:
    world, id = run(doc(listen({"any": [], "until": {"one": {"with": {"type": "stop"}}}})))
    (listener,) = world.rows[id].listeners.values()
    assert listener.until == {"mode": "one", "filters": [{"with": {"type": "stop"}}]}
    world.publish(id, found(1))
    world.publish(id, found("stop"), matches=[0], until=[0])
    assert world.instance(id).output == [1]


def test_each_event_is_processed_before_the_next() -> None:
    each = {
        "item": "event",
        "at": "place",
        "do": [{"c": {"call": "x", "with": {"n": "${ [$event, $place, .] }"}}}],
        "output": {"as": "{ got: ., at: $place }"},
        "export": {"as": "($context // []) + [.got]"},
    }
    world, id = run(doc(listen({"any": [], "until": ". | length == 3"}, each)))
    for number in (5, 6, 7):
        world.publish(id, found(number))
    assert len(world.ready()) == 1
    world.work(lambda request: request["kwargs"]["n"])
    assert world.rows[id].listeners == {}
    assert world.instance(id).output == [{"got": [n + 5, n, n + 5], "at": n} for n in range(3)]
    assert world.instance(id).context == [[5, 0, 5], [6, 1, 6], [7, 2, 7]]


def test_foreach_without_tasks_transforms_only() -> None:
    world, id = run(doc(listen(ONE, {"output": {"as": "$item.n"}})))
    world.publish(id, found({"n": 4}))
    assert world.instance(id).output == [4]


def test_an_endless_listener_keeps_nothing() -> None:
    each = {"do": [{"s": {"set": {"n": "${ $item }"}}}]}
    world, id = run(doc(listen({"any": [], "until": "false"}, each)), limits=Bounds(kept_turns=10))
    for number in range(50):
        world.publish(id, found(number))
    assert world.instance(id).status is Status.WAITING
    assert world.step(id, "l").state == {"count": 50}
    assert len(world.steps(id)) == 11


def test_what_is_not_wanted_any_more_is_left_for_others() -> None:
    world, id = run(doc(listen({"all": [{"with": {"type": "a"}}, {"with": {"type": "b"}}]})))
    world.publish(id, found("A"), matches=[0])
    world.publish(id, found("A again"), matches=[0])
    assert world.ignored == ["each of its filters has had its event"]
    assert len(world.rows[id].history) == 2


def test_what_comes_after_the_close_is_left_for_others() -> None:
    each = {"do": [{"c": call("x")}]}
    world, id = run(doc(listen(ONE, each)))
    step = next(iter(world.rows[id].listeners))
    world.publish(id, found(1))
    world.send_stimulus(id, StimulusKind.EVENT, step, {"event": found(2), "matches": [0]})
    assert world.ignored == ["nothing more is consumed"]
    world.work(lambda _: "done")
    assert world.instance(id).output == ["done"]


def test_a_listener_says_whether_one_event_is_enough() -> None:
    world, id = run(doc(listen({"any": [], "until": "${ . | length > 2 }"})))
    (listener,) = world.rows[id].listeners.values()
    assert listener.until == {"expression": ". | length > 2"}


def test_a_listener_that_collects_has_a_bound() -> None:
    body = listen({"any": [], "until": {"one": {"with": {"type": "stop"}}}})
    world, id = run(doc(body), limits=Bounds(events=3))
    for number in range(4):
        world.publish(id, found(number))
    assert world.instance(id).status is Status.FAULTED


def test_a_fault_while_an_event_is_processed_ends_the_listening() -> None:
    each = {"do": [{"c": call("x")}]}
    world, id = run(doc(listen({"any": [], "until": "false"}, each)))
    world.publish(id, found(1))
    world.publish(id, found(2))
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).error["instance"] == "/do/0/l/foreach/do/0/c"
    assert world.rows[id].listeners == {}


SUM = {
    "item": "e",
    "do": [{"c": {"call": "x", "with": {"v": "${ $e }"}}}],
    "export": {"as": "{ sum: (($context.sum // 0) + .) }"},
}
UNTIL_SUM = {"any": [], "until": "$context.sum >= 6"}


def test_until_sees_what_the_items_have_exported() -> None:
    """Its fourth event was needed, and consumed, where it was asked before the export."""
    world, id = run(doc(listen(UNTIL_SUM, SUM)))
    for number in (1, 2, 3):
        assert world.instance(id).status is Status.WAITING
        world.publish(id, found(number))
        world.work(lambda request: request["kwargs"]["v"])
    assert world.instance(id).output == [1, 2, 3]
    assert world.instance(id).context == {"sum": 6}


def test_events_that_wait_when_until_is_true_are_returned() -> None:
    world, id = run(doc(listen(UNTIL_SUM, SUM)))
    step = next(iter(world.rows[id].listeners))
    for number in (1, 5, 3, 4):
        world.publish(id, found(number), number=100 + number)
    world.work(lambda request: request["kwargs"]["v"])
    assert world.instance(id).output == [1, 5]
    assert world.rows[id].history[-1].returned == ((step, 103), (step, 104))
    assert world.rows[id].listeners == {}


def test_foreach_without_tasks_stops_at_the_event_whose_export_ends_it() -> None:
    each = {"export": {"as": "{ sum: (($context.sum // 0) + $item) }"}}
    world, id = run(doc(listen(UNTIL_SUM, each)))
    for number in (1, 2, 3):
        world.publish(id, found(number))
    assert world.instance(id).output == [1, 2, 3]


@pytest.mark.parametrize(
    "to",
    [{"all": []}, {"any": [{"with": {"type": "t"}}], "until": {"all": []}}],
)
def test_all_of_no_events_is_nothing_to_wait_for(to: dict[str, Any]) -> None:
    world, id = run(doc(listen(to)))
    assert world.instance(id).output == []
    assert world.rows[id].listeners == {}
