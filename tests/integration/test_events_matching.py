"""Events and listeners find each other on Postgres: once each, in order, in every interleaving.

The Event Handler and the State Manager are called here by hand, step by step; how workers and
beats call them is in `test_events_stack`.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestrator import clock
from orchestrator.bootstrap import Services
from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.events import event_matching_queries, event_queries, listener_queries
from orchestrator.database.transitions import inbox_queries
from orchestrator.event_handler import listener_matcher
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.listener_matcher import ListenerMatcher
from orchestrator.event_handler.match_batch import MatchBatch
from orchestrator.event_handler.match_round import MatchRound
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.state_manager import inbox
from tests.support.api import Api
from tests.support.events import event

NAMESPACE = "shop"


class Play:
    """The parts of the product that events meet, each moved by hand."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.services: Services = api.client.application.extensions["orchestrator"].services
        self.count = 0

    def workflow(self, *tasks: dict[str, Any], **more: Any) -> str:
        """Deploy a workflow of these tasks; its name."""
        self.count += 1
        name = f"w{self.count}"
        head = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": "1.0.0"}
        self.api.deploy({"document": head, "do": list(tasks), **more})
        return name

    def start(self, name: str, input: Json = None) -> str:
        """An instance, as far as it gets by itself."""
        id = self.api.start(name, input=input)
        self.services.state.process_inbox(id)
        return id

    def put(self, *given: dict[str, Json], to: str | None = None) -> None:
        event_queries.put(self.api.database, NAMESPACE, given, target=to)

    def match(self) -> None:
        self.services.events.match(NAMESPACE)

    def settle(self, *instances: str) -> None:
        """Match and drain until nothing changes any more."""
        changes = (
            "select (select count(*) from orchestrator.history), count(*), max(event),"
            " (select count(*) from orchestrator.stimuli) from orchestrator.event_offers"
        )
        before: list[tuple[Any, ...]] | None = None
        while before != (now := self.api.all(changes)):
            before = now
            self.match()
            for id in instances:
                self.services.state.process_inbox(id)

    def output(self, id: str) -> Json:
        """Its output if it has completed, else its status."""
        found = self.api.get(f"/v1/instances/{id}").json
        return found["output"] if found["status"] == "completed" else found["status"]

    def wake(self, id: str) -> None:
        """Let the timers of an instance fire."""
        steps = self.api.all("select step from orchestrator.timers where instance_id = %s", id)
        for (step,) in steps:
            inbox_queries.put(
                self.api.database, id, StimulusKind.TIMER, step=step, data={"kind": "wait"}
            )
        self.services.state.process_inbox(id)

    def age(self, seconds: float) -> None:
        """Let everything have happened earlier."""
        for table in ("events", "listeners", "instances"):
            self.api.all(
                f"update orchestrator.{table} set created_at = created_at - %s * interval '1 s'",
                seconds,
            )


@pytest.fixture
def play(api: Api) -> Play:
    return Play(api)


def listen(
    to: dict[str, Any], name: str = "l", read: str = "data", **beside: Any
) -> dict[str, Any]:
    """A `listen` task, with what stands beside it."""
    return {name: {"listen": {"to": to, "read": read}, **beside}}


#: What a task exports so that the context gathers its output.
GATHER = {"as": "($context // []) + ."}


def of(type: str = "t", **more: Any) -> dict[str, Any]:
    return {"with": {"type": type, **more}}


ONE = {"one": of()}
#: Holds an instance up until an event lets it go on.
GATE = listen({"one": of("go")}, "gate")


# -- before, while, after ------------------------------------------------------------------------


@pytest.mark.parametrize("matched", [True, False], ids=["matched", "not matched yet"])
def test_an_event_before_the_listener_opens(play: Play, matched: bool):
    id = play.start(play.workflow(GATE, listen(ONE)))
    play.put(event(data="early"))
    if matched:
        play.match()
    play.put(event("2", "go"))
    play.settle(id)
    assert play.output(id) == ["early"]


def test_an_event_after_the_listener_opened(play: Play):
    id = play.start(play.workflow(listen(ONE)))
    play.match()
    play.put(event(data="late"))
    play.settle(id)
    assert play.output(id) == ["late"]


def test_an_event_and_a_listener_that_nobody_has_looked_at(play: Play):
    id = play.start(play.workflow(listen(ONE)))
    play.put(event(data="both"))
    play.settle(id)
    assert play.output(id) == ["both"]


def test_an_event_longer_ago_is_for_mailboxes_only(play: Play):
    id = play.start(play.workflow(GATE, listen(ONE)))
    play.put(event(data="old"))
    play.match()
    play.age(play.services.events.look_back + 1)
    play.put(event("2", "go"))
    play.settle(id)
    assert play.output(id) == "waiting"


def test_an_event_after_the_start_was_asked_for_is_for_it_however_late_that_comes(play: Play):
    name = play.workflow(listen(ONE, "first"), listen(ONE, "second"))
    id = play.api.start(name)
    play.put(event(data="meanwhile"))
    play.match()
    play.age(600)
    play.services.state.process_inbox(id)
    play.settle(id)
    steps = play.api.get(f"/v1/instances/{id}/steps").json["items"]
    assert [step["output"] for step in steps] == [["meanwhile"], None]


def test_a_listener_that_is_not_committed_yet_looks_when_it_is(play: Play):
    """The event's side looks first and sees no listener; the listener's side finds the event."""
    name = play.workflow(listen(ONE))
    id = play.api.start(name)
    with play.api.database.transaction(UNBOUNDED) as cursor:
        cursor.all("select 1 from orchestrator.instances where id = %s for update", (id,))
        play.put(event(data="between"))
        play.match()
    play.services.state.process_inbox(id)
    play.settle(id)
    assert play.output(id) == ["between"]


def test_two_who_match_at_once(play: Play):
    """The second goes away; what it was called for is seen by the first."""
    ids = [play.start(play.workflow(listen(ONE))) for _ in range(3)]
    play.put(*(event(str(n), data=n) for n in range(50)))
    threads = [threading.Thread(target=play.match) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    play.settle(*ids)
    assert [play.output(id) for id in ids] == [[0]] * 3
    assert not event_matching_queries.has_unmatched(play.api.database, NAMESPACE)


def test_who_finds_the_lock_taken_leaves_it_to_the_holder(play: Play):
    id = play.start(play.workflow(listen(ONE)))
    play.put(event())
    with play.api.database.transaction(listener_queries.MATCHING) as cursor:
        assert listener_queries.lock(cursor, NAMESPACE)
        play.match()
        assert play.api.all("select count(*) from orchestrator.event_offers") == [(0,)]
    play.settle(id)
    assert play.output(id) == [None]


# -- who takes what ------------------------------------------------------------------------------


def test_one_event_wakes_several_instances_each_once(play: Play):
    name = play.workflow(listen(ONE))
    ids = [play.start(name) for _ in range(5)]
    play.put(event(data=1), event(data=2))
    play.settle(*ids)
    assert [play.output(id) for id in ids] == [[1]] * 5
    assert play.api.all("select count(*) from orchestrator.event_offers") == [(5,)]


def test_one_event_completes_two_listeners_of_an_instance(play: Play):
    fork = {"f": {"fork": {"branches": [listen(ONE, "a"), listen(ONE, "b")]}}}
    name = play.workflow(fork)
    early = play.start(name)
    play.match()
    late = play.api.start(name)
    play.put(event(data=1))
    play.match()
    play.settle(early, late)
    assert [play.output(early), play.output(late)] == [[[1], [1]]] * 2


def test_an_event_is_for_one_listener_of_those_that_follow_each_other(play: Play):
    tasks = [listen(ONE, f"l{n}", export=GATHER) for n in range(3)]
    name = play.workflow(*tasks, {"end": {"set": "${ $context }"}})
    id = play.start(name)
    play.match()
    play.put(*(event(str(n), data=n) for n in range(2)))
    play.settle(id)
    assert play.output(id) == "waiting"
    play.put(event("3", data=2))
    play.settle(id)
    assert play.output(id) == [0, 1, 2]


def test_an_event_that_matches_nobody_is_matched_all_the_same(play: Play):
    play.put(event())
    play.match()
    assert not event_matching_queries.has_unmatched(play.api.database, NAMESPACE)


def test_other_namespaces_hear_nothing(play: Play):
    id = play.start(play.workflow(listen({"any": []})))
    event_queries.put(play.api.database, "bank", [event()])
    play.services.events.match("bank")
    play.settle(id)
    assert play.output(id) == "waiting"


def test_a_listener_that_is_gone_takes_nothing(play: Play):
    id = play.start(play.workflow(listen(ONE)))
    play.match()
    play.api.post(f"/v1/instances/{id}/cancel")
    play.services.state.process_inbox(id)
    assert play.api.all("select count(*) from orchestrator.listener_index") == [(0,)]
    play.put(event())
    play.settle(id)
    assert play.api.all("select count(*) from orchestrator.event_offers") == [(0,)]


# -- strategies ----------------------------------------------------------------------------------


def test_all_takes_one_event_for_each_filter(play: Play):
    id = play.start(play.workflow(listen({"all": [of("a"), of("b")]})))
    play.put(event("1", "a", data=1), event("2", "a", data=2))
    play.settle(id)
    assert play.output(id) == "waiting"
    assert play.api.all("select count(*) from orchestrator.event_offers") == [(1,)]
    play.put(event("3", "b", data=3))
    play.settle(id)
    assert play.output(id) == [1, 3]


def test_all_with_an_event_that_passes_both_filters(play: Play):
    id = play.start(play.workflow(listen({"all": [of("a"), {"with": {"source": "/s"}}]})))
    play.put(event("1", "a", data=1))
    play.settle(id)
    assert play.output(id) == "waiting"
    play.put(event("2", "a", data=2))
    play.settle(id)
    assert play.output(id) == [1, 2]


def test_any_until_an_expression_holds(play: Play):
    id = play.start(play.workflow(listen({"any": [of()], "until": "length >= 3"})))
    play.put(*(event(str(n), data=n) for n in range(5)))
    play.settle(id)
    assert play.output(id) == [0, 1, 2]
    refused = play.api.all("select event from orchestrator.event_offers where refused order by 1")
    assert len(refused) == 2


def test_any_until_another_event(play: Play):
    until = {"one": of("stop")}
    id = play.start(play.workflow(listen({"any": [of()], "until": until})))
    play.put(event("1", data=1), event("2", "stop"), event("3", data=3))
    play.settle(id)
    assert play.output(id) == [1]


@pytest.mark.parametrize(
    ("to", "outputs"),
    [
        ({"any": []}, [[0]]),
        ({"any": [], "until": {"any": []}}, [[]]),
        ({"any": [of("other")], "until": {"any": []}}, [[]]),
        ({"any": [of("other")], "until": {"all": []}}, [[]]),
        ({"all": []}, [[]]),
    ],
    ids=str,
)
def test_empty_lists_of_filters(play: Play, to: dict[str, Any], outputs: Json):
    """`any: []` takes every event, in `until` too; all of no events is nothing to wait for
    (dsl-reference.md, Event Consumption Strategy)."""
    id = play.start(play.workflow(listen(to)))
    play.match()
    play.put(event("1", data=0), event("2", data=1))
    play.settle(id)
    assert [play.output(id)] == outputs


def test_until_sees_what_foreach_exports_and_the_next_event_is_left(play: Play):
    """Three events reach the sum; the fourth was there by then and is for the next listener."""
    to = {"any": [of()], "until": "$context.sum >= 6"}
    each = {
        "item": "e",
        "do": [{"x": {"wait": {"milliseconds": 1}}}, {"s": {"set": "${ $e.v }"}}],
        "export": {"as": "{ sum: (($context.sum // 0) + .) }"},
    }
    end = {"end": {"set": "${ { sum: $context.sum, last: . } }"}}
    id = play.start(play.workflow(listen(to, foreach=each), listen(ONE, "next"), end))
    play.match()
    play.put(*(event(str(n), data={"v": n}) for n in range(1, 5)))
    for _ in range(4):
        play.settle(id)
        play.wake(id)
    play.settle(id)
    assert play.output(id) == {"sum": 6, "last": [{"v": 4}]}


def test_any_until_all_of_several_events(play: Play):
    until = {"all": [of("x"), of("y")]}
    id = play.start(play.workflow(listen({"any": [], "until": until})))
    play.put(event("1", data=1), event("2", "y"), event("3", "y"), event("4", data=4))
    play.settle(id)
    assert play.output(id) == "waiting"
    play.put(event("5", "x"))
    play.settle(id)
    assert play.output(id) == [1, 4]


def test_an_endless_listener_takes_all_in_order(play: Play):
    each = {
        "item": "e",
        "do": [{"s": {"set": {"n": "${ $e }"}}}],
        "export": {"as": "[$context[]?, .n]"},
    }
    id = play.start(play.workflow(listen({"any": [of()], "until": "false"}, foreach=each)))
    for start in range(0, 60, 20):
        play.put(*(event(str(n), data=n) for n in range(start, start + 20)))
        play.settle(id)
    assert play.api.get(f"/v1/instances/{id}").json["context"] == list(range(60))


@pytest.mark.parametrize(
    ("read", "expected"),
    [("data", None), ("raw", "AA=="), ("envelope", event(data_base64="AA=="))],
)
def test_what_is_read(play: Play, read: str, expected: Json):
    id = play.start(play.workflow(listen(ONE, read=read)))
    play.put(event(data_base64="AA=="))
    play.settle(id)
    assert play.output(id) == [expected]


def test_filters_see_the_input(play: Play):
    name = play.workflow(listen({"one": of(data="${ .n > $input.least }")}))
    low, high = play.start(name, {"least": 1}), play.start(name, {"least": 5})
    play.put(event(data={"n": 3}))
    play.settle(low, high)
    assert [play.output(low), play.output(high)] == [[{"n": 3}], "waiting"]


# -- correlation ---------------------------------------------------------------------------------


def by(expect: str | None = None, type: str = "t") -> dict[str, Any]:
    wanted = {"from": ".data.k", **({"expect": expect} if expect else {})}
    return {**of(type), "correlate": {"k": wanted}}


def test_what_a_correlation_expects_finds_its_instance(play: Play):
    name = play.workflow(listen({"one": by("${ .k }")}))
    ids = [play.start(name, {"k": n}) for n in range(20)]
    play.match()
    play.put(event("1", data={"k": 7}), event("2", data={"k": "11"}), event("3", data={}))
    play.settle(*ids)
    assert [n for n, id in enumerate(ids) if play.output(id) != "waiting"] == [7, 11]
    found = play.api.all("select count(distinct filter_id), count(distinct correlation_digest) from"
                         " orchestrator.listener_index")  # fmt: skip
    assert found == [(1, 18)]


def test_the_first_value_binds(play: Play):
    id = play.start(play.workflow(listen({"all": [by(type="a"), by(type="b")]})))
    play.put(event("0", "a", data={}), event("1", "a", data={"k": 1}))
    play.put(event("2", "b", data={"k": 2}))
    play.settle(id)
    assert play.output(id) == "waiting"
    assert play.api.all("select correlation from orchestrator.listeners") == [({"k": 1},)]
    assert (
        play.api.all("select correlation_digest <> '' from orchestrator.listener_index")
        == [(True,)] * 2
    )
    play.put(event("3", "b", data={"k": 1}))
    play.settle(id)
    assert play.output(id) == [{"k": 1}, {"k": 1}]


def test_a_bound_listener_finds_what_came_before_by_its_key(play: Play):
    id = play.api.start(play.workflow(listen({"one": by("4")})))
    play.put(*(event(str(n), data={"k": n}) for n in range(10)))
    play.match()
    play.services.state.process_inbox(id)
    play.settle(id)
    assert play.output(id) == [{"k": 4}]


# -- mailboxes -----------------------------------------------------------------------------------


def test_a_signal_waits_however_long_for_its_listener(play: Play):
    id = play.start(play.workflow(GATE, listen(ONE)))
    play.match()
    play.put(event(data="signal"), to=id)
    play.settle(id)
    play.age(1000)
    play.put(event("2", "go"))
    play.settle(id)
    assert play.output(id) == ["signal"]


def test_a_signal_is_for_its_instance_only(play: Play):
    name = play.workflow(listen(ONE))
    mine, other = play.start(name), play.start(name)
    play.put(event(data=1), to=mine)
    play.settle(mine, other)
    assert [play.output(mine), play.output(other)] == [[1], "waiting"]


@pytest.mark.parametrize("before", [True, False], ids=["before", "while"])
def test_signals_are_taken_one_by_one_in_their_order(play: Play, before: bool):
    """A loop that listens for one signal each time takes all of them, none twice."""
    loop = {
        "loop": {
            "for": {"each": "n", "in": "${ [range(6)] }"},
            "do": [listen(ONE, export=GATHER)],
        }
    }
    name = play.workflow(loop, {"end": {"set": "${ $context }"}})
    id = play.api.start(name) if before else play.start(name)
    if not before:
        play.match()
    play.put(*(event(str(n), data=n) for n in range(6)), to=id)
    play.services.state.process_inbox(id)
    play.settle(id)
    assert play.output(id) == [0, 1, 2, 3, 4, 5]
    assert play.api.all("select count(*) from orchestrator.event_offers") == [(6,)]


def test_a_listener_that_opens_within_a_round_takes_the_oldest_signal(play: Play):
    """A round has looked at the listeners before this one opened, and goes on to new events."""
    id = play.api.start(play.workflow(listen(ONE)))
    play.put(event("1", data="older"), to=id)
    play.match()
    play.services.state.process_inbox(id)
    play.put(event("2", data="newer"), to=id)
    with play.api.database.transaction(listener_queries.MATCHING) as cursor:
        book = MatchBatch(cursor, NAMESPACE)
        judge = FilterEvaluator(play.services.events.evaluate, clock.now())
        given = ListenerMatcher(MatchRound(cursor, NAMESPACE, judge, book, 5.0)).match_events(
            event_matching_queries.unmatched(cursor, NAMESPACE, 9)
        )
        book.write()
        event_matching_queries.mark_matched(cursor, [one.receipt_number for one in given])
    play.settle(id)
    assert play.output(id) == ["older"]


def test_what_a_listener_leaves_goes_before_what_came_later(
    play: Play, monkeypatch: pytest.MonkeyPatch
):
    first = listen({"any": [of()], "until": "length == 2"}, "first")
    second = listen({"any": [of()], "until": "length == 4"}, "second")
    id = play.start(play.workflow(first, second))
    play.match()
    play.put(*(event(str(n), data=n) for n in range(5)), to=id)
    play.match()
    with monkeypatch.context() as patched:
        patched.setattr(inbox, "MAX_STIMULI", 2)
        play.services.state.process_inbox(id)
    # The second listener is open, and three signals are on their way to the first one.
    play.put(event("late", data="late"), to=id)
    play.settle(id)
    assert play.output(id) == [2, 3, 4, "late"]


def test_what_a_listener_leaves_goes_back_to_the_mailbox(play: Play):
    """Three signals are on their way to a listener that stops at the first two."""
    first = listen({"any": [of()], "until": "length == 2"}, "first")
    id = play.start(play.workflow(first, listen({"one": of()}, "second")))
    play.match()
    play.put(*(event(str(n), data=n) for n in range(3)), to=id)
    play.match()
    assert play.api.all("select count(*) from orchestrator.event_offers") == [(3,)]
    play.services.state.process_inbox(id)
    assert play.output(id) == "waiting"
    play.settle(id)
    assert play.output(id) == [2]


def test_a_broadcast_that_a_listener_leaves_is_for_the_next_one(play: Play):
    first = listen({"any": [of()], "until": "length == 2"}, "first")
    id = play.start(play.workflow(first, listen({"one": of()}, "second")))
    play.match()
    play.put(*(event(str(n), data=n) for n in range(3)))
    play.settle(id)
    assert play.output(id) == [2]


def test_signals_to_a_suspended_instance_wait(play: Play):
    id = play.start(play.workflow(listen(ONE)))
    play.match()
    play.api.post(f"/v1/instances/{id}/suspend")
    play.services.state.process_inbox(id)
    play.put(event(data=1), to=id)
    play.settle(id)
    assert play.output(id) == "suspended"
    play.api.post(f"/v1/instances/{id}/resume")
    play.settle(id)
    assert play.output(id) == [1]


# -- emitted -------------------------------------------------------------------------------------


def test_workflows_talk_to_each_other(play: Play):
    ping = {"e": {"emit": {"event": {"with": {"type": "ping", "data": {"n": "${ .n }"}}}}}}
    pong = {"e": {"emit": {"event": {"with": {"type": "pong", "data": "${ .[0].n + 1 }"}}}}}
    one = play.start(play.workflow(listen({"one": of("ping")}), pong))
    other = play.start(play.workflow(ping, listen({"one": of("pong")})), {"n": 4})
    play.settle(one, other)
    assert play.output(other) == [5]
    emitted = play.api.get("/v1/events?type=ping").json["items"][0]
    assert emitted["instance"] == other
    shown = play.api.get(f"/v1/events/{emitted['id']}").json
    assert [(m["instance"], m["step"]) for m in shown["matches"]] == [(one, 1)]


# -- trouble -------------------------------------------------------------------------------------


def test_more_listeners_than_one_round_gives_to(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listener_matcher, "CANDIDATES", 4)
    name = play.workflow(listen(ONE))
    endless = play.workflow(listen({"any": [of()], "until": "length == 2"}))
    ids = [play.start(name) for _ in range(7)] + [play.start(endless) for _ in range(7)]
    play.match()
    play.put(event(data=1), event("2", data=2))
    play.settle(*ids)
    assert [play.output(id) for id in ids] == [[1]] * 7 + [[1, 2]] * 7


def test_a_filter_that_fails_on_an_event_does_not_take_it(play: Play):
    id = play.start(play.workflow(listen({"one": of(data="${ .a.b > 1 }")})))
    play.put(event("1", data="text"), event("2", data=[1]), event("3", data={"a": {"b": 2}}))
    play.settle(id)
    assert play.output(id) == [{"a": {"b": 2}}]


def test_an_event_that_brings_the_evaluator_down_holds_up_nobody_for_long(play: Play):
    id = play.start(play.workflow(listen({"any": [of(data="${ .bad | not }")], "until": "true"})))
    play.match()
    evaluate = play.services.events.evaluate

    def fragile(program: str, value: Json, variables: Any) -> Json:
        if isinstance(value, dict) and value.get("bad"):
            raise EvaluatorUnavailable
        return evaluate(program, value, variables)

    object.__setattr__(play.services.events, "evaluate", fragile)
    play.put(event("1", data={"bad": True}), event("2", data={"n": 2}))
    for _ in range(3):
        with pytest.raises(EvaluatorUnavailable):
            play.match()
    play.settle(id)
    assert play.output(id) == [{"n": 2}]


def test_old_events_are_forgotten_but_not_what_waits(play: Play):
    from datetime import timedelta

    id = play.start(play.workflow(listen({"any": [of("x")], "until": "false"})))
    play.put(event("taken", "x"), event("nobody's"), event("unmatched"))
    play.put(event("mail"), event("taken mail", "x"), to=id)
    play.api.all("update orchestrator.events set matched_at = now() where event_id = 'nobody''s'")
    play.settle(id)
    play.api.all("update orchestrator.events set matched_at = null where event_id = 'unmatched'")
    assert event_queries.purge(play.api.database, timedelta(hours=1)) == 0
    play.age(7200)
    assert event_queries.purge(play.api.database, timedelta(hours=1)) == 3
    left = play.api.all("select event_id from orchestrator.events order by 1")
    assert left == [("mail",), ("unmatched",)]
    assert play.api.all("select count(*) from orchestrator.event_offers") == [(0,)]
