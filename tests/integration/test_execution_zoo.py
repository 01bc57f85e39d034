"""Celery tasks of every kind run as steps, in real workers of both pools, as in plain Celery.

The tasks (tests/celery_apps/every_task_kind/tasks.py) do not import the orchestrator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from orchestrator.celery_versions import CELERY
from orchestrator.ids import new_id
from tests.support.zoo import Zoo, zoo_on

RABBITMQ = (pytest.mark.rabbitmq, pytest.mark.slow)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("module_broker_url", "prefork"), id="prefork"),
        pytest.param(("module_broker_url", "threads"), id="threads", marks=pytest.mark.slow),
        pytest.param(("module_broker_url", "solo"), id="solo", marks=pytest.mark.slow),
        pytest.param(("module_broker_url", "gevent"), id="gevent", marks=pytest.mark.slow),
        pytest.param(("module_rabbitmq_url", "prefork"), id="rabbitmq-prefork", marks=RABBITMQ),
        pytest.param(("module_rabbitmq_url", "threads"), id="rabbitmq-threads", marks=RABBITMQ),
        pytest.param(("module_rabbitmq_url", "gevent"), id="rabbitmq-gevent", marks=RABBITMQ),
    ],
)
def zoo(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    module_database_url: str,
    module_broker_url: str,
) -> Iterator[Zoo]:
    broker, pool = request.param
    folder = tmp_path_factory.mktemp(pool)
    urls = (module_database_url, request.getfixturevalue(broker), module_broker_url)
    with zoo_on(folder, *urls, lease=2, republish_after=2) as zoo:
        zoo.pool = pool
        zoo.worker(pool=zoo.pool, concurrency=2)
        yield zoo


# -- forms ------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "arguments", "output"),
    [
        ("plain", {"a": 1}, {"sum": 3}),
        ("classy", {"a": 1}, {"a": 1, "class": "Classy", "is": True}),
        ("local", {"a": 1}, {"a": 1, "app": "zoo"}),
        ("calling", {"a": 1}, {"wrapped": 1}),
        ("late", {"a": 1}, {"a": 1}),
        ("limited_rate", {"a": 1}, {"a": 1}),
        ("limited", {}, {"slept": 0.0}),
        ("softly", {}, {"slept": 0.0}),
        ("calls_another", {"a": 1}, {"direct": {"sum": 3}, "eager": {"sum": 3}}),
        ("replaces", {"a": 2}, {"sum": 42}),
        ("replaces_with_chain", {"a": 2}, 13),
        ("replaces_with_group", {"a": 2}, [3, 4]),
        ("ignores", {}, None),
    ],
)
def test_output(zoo: Zoo, task: str, arguments: dict[str, Any], output: Any) -> None:
    assert zoo.output(task, **arguments) == output


@pytest.mark.parametrize(
    ("args", "kwargs", "output"),
    [
        ([1, 2], {}, {"a": 1, "b": 2, "c": 3, "rest": [], "more": {}}),
        ([1, 2, 4, 5], {"d": 6}, {"a": 1, "b": 2, "c": 4, "rest": [5], "more": {"d": 6}}),
    ],
)
def test_positional_arguments(
    zoo: Zoo, args: list[int], kwargs: dict[str, Any], output: dict[str, Any]
) -> None:
    """``call: celery`` can have positional arguments; a call by the task's name cannot."""
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    call = {"call": "celery", "with": {"task": "zoo.positional", "args": args, "kwargs": kwargs}}
    ended = zoo.stack.run({"document": head, "do": [{"s": call}]})
    assert ended["output"] == output, ended["error"]


def test_a_bound_task_sees_its_own_request(zoo: Zoo) -> None:
    assert zoo.output("bound", a=[1], word="w")["task"] == "zoo.bound"
    (seen,) = zoo.seen("bound")
    assert seen == {
        "what": "bound",
        "args": [],
        "kwargs": {"a": [1], "word": "w"},
        "retries": 0,
        "is_eager": False,
        "called_directly": False,
        "callbacks": None,
        "chord": None,
    }


def hooks(zoo: Zoo, order: list[str]) -> list[dict[str, Any]]:
    """Hooks and signals have seen this, in this order; the last ones come after the commit."""
    zoo.stack.until(lambda: len(zoo.seen()) >= len(order), "every hook was called", timeout=10)
    seen = zoo.seen()
    assert [note["what"] for note in seen] == order
    return seen


def test_hooks_and_signals(zoo: Zoo) -> None:
    zoo.output("hooked", a=1)
    order = ["prerun", "before_start", "on_success", "after_return", "postrun"]
    seen = hooks(zoo, order)
    assert {json.dumps(note["kwargs"]) for note in seen} == {'{"a": 1}'}
    assert len({note["id"] for note in seen}) == 1


def test_hooks_of_a_failure(zoo: Zoo) -> None:
    assert zoo.error("hooked", a=1, fail=True)["title"] == "KeyError"
    order = ["prerun", "before_start", "on_failure", "after_return", "postrun"]
    hooks(zoo, order)


def test_a_failure_before_the_start(zoo: Zoo) -> None:
    assert zoo.error("hooked", a=1, refuse=True)["detail"] == "refused before the start"


# -- ways to end ------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "title", "detail"),
    [
        ("fails", "ValueError", "no"),
        ("throws", "LookupError", "expected"),
        ("base_exception", "Odd", "not even an Exception"),
        ("out_of_memory", "MemoryError", "too much"),
    ],
)
def test_error(zoo: Zoo, task: str, title: str, detail: str) -> None:
    error = zoo.error(task)
    assert (error["status"], error["title"], error["detail"]) == (500, title, detail)
    assert error["instance"] == "/do/0/s0"
    assert zoo.output("plain", a=1) == {"sum": 3}, "the worker works on"


def test_a_reject_fails(zoo: Zoo) -> None:
    assert zoo.error("rejects", key=new_id())["title"] == "Reject"


def test_a_reject_that_requeues_is_tried_again(zoo: Zoo) -> None:
    assert zoo.output("rejects", key=new_id(), requeue=True) == {"second": True}


def test_autoretry(zoo: Zoo) -> None:
    assert zoo.output("autoretry", key=new_id()) == {"count": 3, "retries": 2}
    assert [note["retries"] for note in zoo.seen("autoretry")] == [0, 1, 2]
    assert len(zoo.seen("on_retry")) == 2


def test_self_retry(zoo: Zoo) -> None:
    ended = zoo.run("retries", key=new_id(), until=3)
    assert ended["output"] == {"count": 3, "retries": 2}
    states = zoo.attempts(ended["id"])
    assert states == [("failed", 1), ("failed", 2), ("succeeded", 3)]


def test_self_retry_with_other_arguments(zoo: Zoo) -> None:
    ended = zoo.run("retries_with", a=1)
    if CELERY < (5, 7):  # as in plain Celery: the first keyword arguments stay
        assert ended["error"]["title"] == "Reject"
        assert "multiple values for argument 'a'" in ended["error"]["detail"]
        return
    assert ended["output"] == {"a": 3, "args": [3], "retries": 2}
    (step,) = zoo.stack.client.get(f"/v1/instances/{ended['id']}/steps").json()["items"]
    assert len(step["attempts"]) == 3


def test_self_retry_ends_at_its_limit(zoo: Zoo) -> None:
    error = zoo.error("retries", key=new_id(), until=9)
    assert (error["title"], error["detail"]) == ("RuntimeError", "attempt 3")


def test_a_quiet_retry(zoo: Zoo) -> None:
    assert zoo.output("retries_quietly", key=new_id()) == {"count": 2}


@pytest.mark.parametrize("task", ["exits", "dies"])
def test_a_task_that_ends_its_process_is_tried_elsewhere(zoo: Zoo, task: str) -> None:
    if task == "dies" and zoo.pool != "prefork":
        pytest.skip("os._exit in a thread ends the whole worker: see the tests of kills")
    assert zoo.output(task, key=new_id()) == {"survived": True}


@pytest.mark.parametrize("task", ["exits", "dies"])
def test_a_task_that_always_ends_its_process_has_a_limit(zoo: Zoo, task: str) -> None:
    if task == "dies" and zoo.pool != "prefork":
        pytest.skip("os._exit in a thread ends the whole worker: see the tests of kills")
    ended = zoo.run(task, key=new_id(), until=99)
    assert ended["status"] == "faulted"
    assert zoo.attempts(ended["id"]) == [("lost", 1), ("lost", 2), ("lost", 3)]
    assert len(zoo.seen("times")) == 3


# -- limits ------------------------------------------------------------


def test_a_hard_limit(zoo: Zoo) -> None:
    if zoo.pool != "prefork":
        assert zoo.output("limited", seconds=1.5) == {"slept": 1.5}
        return
    error = zoo.error("limited", seconds=30)
    assert "hard time limit" in error["detail"]


def test_a_soft_limit(zoo: Zoo) -> None:
    if zoo.pool != "prefork":
        assert zoo.output("softly", seconds=1.2) == {"slept": 1.2}
        return
    error = zoo.error("softly", seconds=5)
    assert (error["type"].endswith("/timeout"), error["title"]) == (True, "SoftTimeLimitExceeded")
    assert zoo.seen("soft limit")
    assert zoo.output("softly") == {"slept": 0.0}, "no signal is left over"


def test_a_rate_limit_holds(zoo: Zoo) -> None:
    """Celery's main process enforces it, and sees only messages: its steps are not continued."""
    rate, calls = 20, 11  # of zoo.limited_rate
    ended = zoo.run_all([("limited_rate", {"a": n}) for n in range(calls)])
    ((published, took),) = zoo.stack.sql(
        "select count(*) filter (where publish_count > 0),"
        " extract(epoch from max(claimed_at) - min(claimed_at))::float"
        " from orchestrator.attempts where instance_id = %s",
        ended["id"],
    )
    assert published == calls
    assert took > 0.8 * (calls - 1) / rate


def test_a_late_acknowledgement_is_not_waited_for(zoo: Zoo) -> None:
    """A message that stayed unacknowledged while its step runs could come twice."""
    if not zoo.stack.broker_url.startswith("redis"):
        pytest.skip("RabbitMQ does not tell a client what is unacknowledged")
    key = new_id()
    instance = zoo.start("late", a=1, key=key)
    zoo.stack.until(lambda: bool(zoo.seen("waiting")), "the task runs")
    with redis.Redis.from_url(zoo.stack.broker_url) as broker:
        zoo.stack.until(lambda: broker.hlen("unacked") == 0, "its message is acknowledged")
    assert zoo.attempts(instance) == [("claimed", 1)], "while it runs"
    zoo.let_go(key)
    assert zoo.stack.wait(instance)["output"] == {"a": 1}


# -- Celery inside a step ------------------------------------------------------------


def test_an_inner_delay(zoo: Zoo) -> None:
    output = zoo.output("delays", a=7)
    assert output["children"] == [output["inner"]]
    zoo.stack.until(lambda: bool(zoo.seen("note")), "the inner task ran")
    (note,) = zoo.seen("note")
    assert note["a"] == 7
    assert "orchestrator" not in (note["headers"] or {})


def test_an_inner_chord(zoo: Zoo) -> None:
    assert zoo.output("chords", a=1) == {"sent": True}
    zoo.stack.until(lambda: bool(zoo.seen("total")), "the chord's body ran")
    assert zoo.seen("total")[0]["total"] == 5


def test_a_result_backend_holds_no_step(zoo: Zoo) -> None:
    output = zoo.output("keeps_result", a=1)
    assert not zoo.seen_in_redis.exists(f"celery-task-meta-{output['id']}")


# -- values ------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "passed"),
    [
        ("null", None),
        ("big", 2**70),
        ("float", 1.5),
        ("text", "ü\u0000"),
        ("decimal", "1.10"),
        ("date", "2026-01-02"),
        ("datetime", "2026-01-02T03:04:05+00:00"),
        ("uuid", "00000000-0000-0000-0000-000000000007"),
        ("bytes", "AP8="),
        ("dataclass", {"x": 1, "y": "2.50"}),
        ("enum", "red"),
        ("tuple", [1, [2]]),
        ("json method", {"amount": "1.10"}),
        ("registered", [1.0, 2.0]),
    ],
)
def test_value(zoo: Zoo, kind: str, passed: Any) -> None:
    assert zoo.output("value", kind=kind) == {"value": passed}


@pytest.mark.parametrize(
    ("kind", "detail"),
    [("object", "object"), ("nan", "nan"), ("delta", "timedelta"), ("large", "")],
)
def test_value_that_cannot_pass(zoo: Zoo, kind: str, detail: str) -> None:
    ended = zoo.run("value", kind=kind)
    assert ended["status"] == "faulted"
    assert ended["error"]["type"].endswith("/validation")
    assert detail in ended["error"]["detail"]
    assert not detail or "$.value" in ended["error"]["detail"], "type and path are named"
    assert not detail or ended["error"]["data"]["path"] == "$.value"
    assert zoo.stack.sql(
        "select outcome_unknown from orchestrator.steps where instance_id = %s and kind = 'call'",
        ended["id"],
    ) == [(True,)]


# -- together ------------------------------------------------------------


def test_steps_are_continued_without_the_broker(zoo: Zoo) -> None:
    ended = zoo.run_all([("plain", {"a": n}) for n in range(10)])
    assert ended["output"] == {"sum": 11}
    published = zoo.stack.sql(
        "select count(*) filter (where publish_count > 0) from orchestrator.attempts"
        " where instance_id = %s",
        ended["id"],
    )
    # Two on an idle machine; on a busy one the time for continuations ends earlier.
    assert published[0][0] < 10
