"""Steps travel in companions of the users' queues, which only workers with `install(app)` consume.

Each test runs real workers on Valkey or RabbitMQ: mixed pools, releases that replace each other,
remote control, refused permissions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from celery import Celery
from kombu import Connection, Queue

from orchestrator.celery_versions import CONSUMES_QUORUM_QUEUES
from orchestrator.execution.worker.queue_trial import QueueTrial
from orchestrator.ids import new_id
from tests.support.broker_connections import disconnect
from tests.support.rabbitmq import USER, RabbitMQ
from tests.support.zoo import Zoo, zoo_on

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OLD_RELEASE = "tests.celery_apps.before_companions"
NO_CONTROL = {"ORCHESTRATOR_SERVE_CONTROL": 0}
PLAIN = {"ZOO_PLAIN": 1}
COUNT = 500

needs_quorum = pytest.mark.skipif(
    not CONSUMES_QUORUM_QUEUES, reason="Celery consumes quorum queues since 5.5"
)
BROKERS = [
    pytest.param("broker_url", "classic", id="valkey"),
    pytest.param("rabbitmq_url", "classic", id="classic", marks=pytest.mark.rabbitmq),
    pytest.param("rabbitmq_url", "quorum", id="quorum", marks=[pytest.mark.rabbitmq, needs_quorum]),
]


@contextmanager
def zoo_at(
    request: pytest.FixtureRequest, url: str, queues: dict[str, str], **settings: Any
) -> Iterator[Zoo]:
    """The product on a broker, without continuations: each step comes by a message."""
    folder = request.getfixturevalue("tmp_path")
    database, seen = map(request.getfixturevalue, ("database_url", "broker_url"))
    broker = request.getfixturevalue(url)
    chosen = {"lease": 10, "continuation_budget": 0, **settings}
    with zoo_on(folder, database, broker, seen, **chosen) as zoo:
        zoo.environment["ZOO_QUEUES"] = json.dumps(queues)
        zoo.seen_in_redis.delete("zoo")
        yield zoo


def start_notes(zoo: Zoo, queue: str, count: int, steps: int = 1) -> list[str]:
    """Start instances, each of which notes its numbers; return their ids."""
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    do = [
        {f"s{at}": {"call": "zoo.note", "with": {"a": f"${{ $workflow.input.n + {at} }}"}}}
        for at in range(steps)
    ]
    for step in do:
        next(iter(step.values()))["metadata"] = {"queue": queue}
    body = zoo.stack.deploy({"document": head, "do": do})
    starts = [{**body, "input": {"n": n * steps}} for n in range(count)]
    answer = zoo.stack.client.post("/v1/instances", json=starts)
    assert answer.status_code in (200, 202, 207), answer.text
    return [each["id"] for each in answer.json()]


def call_ordinarily(zoo: Zoo, queue: str, kind: str, numbers: range) -> None:
    """Call the task as a user does, outside a workflow."""
    with Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app:
        app.conf.task_default_queue = queue
        arguments = {"x-queue-type": kind}
        app.conf.task_queues = [Queue(queue, routing_key=queue, queue_arguments=arguments)]
        for number in numbers:
            app.send_task("zoo.note", args=(number,))


def all_end(zoo: Zoo, count: int) -> None:
    """Wait until so many instances have completed."""
    sql = "select count(*) from orchestrator.instances where status = 'completed'"
    zoo.stack.until(lambda: zoo.stack.sql(sql) == [(count,)], f"{count} complete", timeout=300)


def row_of(zoo: Zoo, worker: str) -> tuple[list[str], dict[str, str]]:
    """Return the queues that a worker's row has, and the refused ones."""
    ((queues, refused),) = zoo.stack.sql(
        "select queues, refused_queues from orchestrator.workers where name = %s", f"{worker}@test"
    )
    return queues, refused


def consumed(zoo: Zoo, worker: str) -> list[str]:
    """Return the queues that a worker consumes at the broker, in its order."""
    with Celery("watcher", broker=zoo.stack.broker_url, set_as_current=False) as app:
        found = app.control.inspect([f"{worker}@test"], timeout=30, limit=1).active_queues()
    return [queue["name"] for queue in (found or {}).get(f"{worker}@test", ())]


def log_of(zoo: Zoo, name: str) -> str:
    return (zoo.stack.folder / f"{name}.log").read_text()


# -- who gets a step ------------------------------------------------------------------------


@pytest.mark.parametrize(("url", "kind"), BROKERS)
def test_a_pool_of_installed_and_plain_workers(
    request: pytest.FixtureRequest, url: str, kind: str
) -> None:
    """Of 500 instances and 500 ordinary calls each body runs once, with its arguments, and no
    message is sent twice."""
    with zoo_at(request, url, {"mixed": kind}) as zoo:
        zoo.worker("worker-control", queues="orchestrator", concurrency=1)
        for at in range(2):
            zoo.worker(f"worker-installed{at}", queues="mixed", env=NO_CONTROL)
            zoo.worker(f"worker-plain{at}", queues="mixed", env=PLAIN)
        start_notes(zoo, "mixed", COUNT)
        call_ordinarily(zoo, "mixed", kind, range(COUNT, 2 * COUNT))
        all_end(zoo, COUNT)
        zoo.stack.until(lambda: len(zoo.seen("note")) >= 2 * COUNT, "all notes", timeout=120)
        notes = zoo.seen("note")
        assert sorted(note["a"] for note in notes) == list(range(2 * COUNT))
        assert {note["queue"] for note in notes} == {"mixed"}, "a task sees its own queue"
        assert zoo.stack.sql(
            "select count(*), max(publish_count), max(starts), min(queue), max(queue)"
            " from orchestrator.attempts"
        ) == [(COUNT, 1, 1, "mixed", "mixed")]
        for at in range(2):
            assert "orchestrator.step" not in log_of(zoo, f"worker-plain{at}")
            assert "TypeError" not in log_of(zoo, f"worker-plain{at}")


@pytest.mark.parametrize(("url", "kind"), BROKERS[:2])
def test_a_plain_worker_on_a_companion_runs_nothing(
    request: pytest.FixtureRequest, url: str, kind: str
) -> None:
    with zoo_at(request, url, {"shop": kind}, republish_after=1) as zoo:
        zoo.worker("worker-control", queues="orchestrator", concurrency=1)
        more = {**PLAIN, "ZOO_QUEUES": json.dumps({"shop.orchestrator": kind})}
        thief = zoo.worker("worker-thief", queues="shop.orchestrator", concurrency=1, env=more)
        start_notes(zoo, "shop", 8)
        discarded = "unregistered task of type 'orchestrator.step'"
        zoo.stack.until(lambda: log_of(zoo, "worker-thief").count(discarded) >= 8, "it has them")
        assert zoo.seen("note") == []
        zoo.worker("worker-installed", queues="shop", concurrency=1, env=NO_CONTROL)
        thief.stop()
        all_end(zoo, 8)
        assert sorted(note["a"] for note in zoo.seen("note")) == list(range(8))


@pytest.mark.parametrize(("url", "kind"), BROKERS[:2])
def test_a_rollout_and_a_rollback_under_load(
    request: pytest.FixtureRequest, url: str, kind: str
) -> None:
    """Two releases side by side, then the other alone: each step runs once."""
    with zoo_at(request, url, {"shop": kind}, republish_after=1, lease=2) as zoo:

        def release(name: str, **options: Any) -> list[Any]:
            more = {**zoo.environment, **options.pop("env", {})}
            arguments = ("--without-mingle",)
            return [
                zoo.stack.worker(
                    f"worker-{name}", queues=queues, env=more, arguments=arguments, **options
                )
                for name, queues in ((f"{name}-c", "orchestrator"), (f"{name}-s", "shop"))
            ]

        new = "tests.celery_apps.every_task_kind.app"
        total = 0
        for before, after in ((OLD_RELEASE, new), (new, OLD_RELEASE)):
            running = release(f"first{total}", app=before)
            start_notes(zoo, "shop", 100, steps=3)
            total += 100
            sql = "select count(*) > %s from orchestrator.steps where status = 'completed'"
            half = 3 * (total - 50)
            zoo.stack.until(partial(_is_true, zoo, sql, half), "half of them")
            release(f"second{total}", app=after)
            for process in running:
                process.stop()
            all_end(zoo, total)
            zoo.end_workers()
            assert sorted(note["a"] for note in zoo.seen("note")) == list(range(300))
            zoo.seen_in_redis.delete("zoo")


def _is_true(zoo: Zoo, sql: str, *params: Any) -> bool:
    return zoo.stack.sql(sql, *params) == [(True,)]


def test_a_step_in_its_old_queue_is_still_claimed(request: pytest.FixtureRequest) -> None:
    with zoo_at(request, "broker_url", {"shop": "classic"}, republish_after=300) as zoo:
        zoo.stack.worker(
            "worker-control",
            OLD_RELEASE,
            queues="orchestrator",
            env={**zoo.environment, **NO_CONTROL},
        )
        (instance,) = start_notes(zoo, "shop", 1)
        with redis.Redis.from_url(zoo.stack.broker_url) as broker:
            zoo.stack.until(lambda: broker.llen("shop") == 1, "it is in the old queue")
        zoo.worker("worker-new", queues="shop", env=NO_CONTROL)
        assert zoo.stack.wait(instance)["status"] == "completed"
        assert zoo.stack.sql("select publish_count from orchestrator.attempts") == [(1,)]


# -- which companions a worker takes --------------------------------------------------------


@pytest.mark.parametrize(("url", "kind"), BROKERS[:2])
def test_companions_follow_the_queues(request: pytest.FixtureRequest, url: str, kind: str) -> None:
    """-Q, -X, add_consumer, cancel_consumer, and a reconnect."""
    control = [] if url == "rabbitmq_url" else ["orchestrator"]
    with zoo_at(request, url, {"a": kind, "b": kind, "c": kind}) as zoo:
        zoo.worker("worker-all", concurrency=1)
        zoo.worker("worker-chosen", queues="a", concurrency=1, env=NO_CONTROL)
        zoo.worker("worker-without", arguments=("-X", "a"), concurrency=1)
        pairs = {name: [name, f"{name}.orchestrator"] for name in "abcd"}
        assert consumed(zoo, "worker-all") == [*pairs["a"], *pairs["b"], *pairs["c"], *control]
        assert consumed(zoo, "worker-chosen") == pairs["a"]
        assert consumed(zoo, "worker-without") == [*pairs["b"], *pairs["c"], *control]
        assert row_of(zoo, "worker-chosen") == (["a"], {})
        assert row_of(zoo, "worker-without") == (["b", "c", "orchestrator"], {})

        with Celery("operator", broker=zoo.stack.broker_url, set_as_current=False) as app:
            told: Any = {
                "destination": ["worker-chosen@test"],
                "reply": True,
                "timeout": 30,
                "limit": 1,
            }
            app.control.add_consumer("d", **told)
            zoo.stack.until(lambda: row_of(zoo, "worker-chosen")[0] == ["a", "d"], "it adds d")
            app.control.cancel_consumer("a", **told)
            zoo.stack.until(lambda: row_of(zoo, "worker-chosen")[0] == ["d"], "it leaves a")
            assert consumed(zoo, "worker-chosen") == pairs["d"]
            app.control.cancel_consumer("d.orchestrator", **told)
            zoo.stack.until(lambda: row_of(zoo, "worker-chosen")[0] == [], "no steps of d")
            assert consumed(zoo, "worker-chosen") == ["d"]
            app.control.add_consumer("d", **told)
            zoo.stack.until(lambda: row_of(zoo, "worker-chosen") == (["d"], {}), "and again")
        disconnect(request, zoo.stack.broker_url)
        zoo.stack.until(lambda: connected_again(zoo, "worker-chosen"), "it reconnects")
        zoo.stack.until(lambda: consumed(zoo, "worker-chosen") == pairs["d"], "as before")
        (instance,) = start_notes(zoo, "d", 1)
        assert zoo.stack.wait(instance)["status"] == "completed"


def connected_again(zoo: Zoo, worker: str) -> bool:
    return "Connection to broker lost" in log_of(zoo, worker)


def test_a_worker_of_steps_only_leaves_ordinary_messages(request: pytest.FixtureRequest) -> None:
    env = {"ORCHESTRATOR_STEPS_ONLY": 1}
    with zoo_at(request, "broker_url", {"shop": "classic"}) as zoo:
        zoo.worker("worker-steps", concurrency=1, env=env)
        assert consumed(zoo, "worker-steps") == ["shop.orchestrator", "orchestrator"]
        assert row_of(zoo, "worker-steps")[0] == ["orchestrator", "shop"]
        call_ordinarily(zoo, "shop", "classic", range(7, 8))
        (instance,) = start_notes(zoo, "shop", 1)
        assert zoo.stack.wait(instance)["status"] == "completed"
        with Celery("operator", broker=zoo.stack.broker_url, set_as_current=False) as app:
            app.control.add_consumer("more", reply=True, timeout=30, limit=1)
        zoo.stack.until(lambda: "more" in row_of(zoo, "worker-steps")[0], "it takes steps of it")
        assert "more" not in consumed(zoo, "worker-steps")
        with redis.Redis.from_url(zoo.stack.broker_url) as broker:
            assert broker.llen("shop") == 1, "the ordinary message waits for its own worker"
        assert [note["a"] for note in zoo.seen("note")] == [0]


# -- what the broker refuses ----------------------------------------------------------------


def as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))


@contextmanager
def user_of_redis(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """A user who may use the queues but not the companion of `shop`; and what grants that."""
    keys = (
        "shop",
        "shop\x06*",
        "orchestrator*",
        "free*",
        "_kombu*",
        "unacked*",
        "*pidbox*",
        "celeryev*",
        "*reply*",
    )
    with redis.Redis.from_url(url) as broker:
        broker.acl_setuser(
            "narrow",
            enabled=True,
            passwords=["+narrow"],
            keys=keys,
            channels=["*"],
            commands=["+@all"],
            reset=True,
        )
        try:
            grant = lambda: broker.execute_command("ACL", "SETUSER", "narrow", "~*")  # noqa: E731
            yield as_user(url, "narrow", "narrow"), grant
        finally:
            broker.acl_deluser("narrow")


@contextmanager
def user_of_rabbitmq(
    rabbitmq: RabbitMQ, url: str, refused: str
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The same on RabbitMQ: `refused` is `configure` or `read`."""
    virtual_host = urlsplit(url).path[1:]

    def permit(configure: str, read: str) -> None:
        rabbitmq.evaluate(
            f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{virtual_host}">>,'
            f' <<"{configure}">>, <<".*">>, <<"{read}">>, <<"{USER}">>).'
        )

    narrow = "^(?!shop.orchestrator).*"
    permit(*((narrow, ".*") if refused == "configure" else (".*", narrow)))
    try:
        yield url, lambda: permit(".*", ".*")
    finally:
        permit(".*", ".*")


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        pytest.param("broker_url", "keys", id="valkey"),
        pytest.param("rabbitmq_url", "configure", id="configure", marks=pytest.mark.rabbitmq),
        pytest.param("rabbitmq_url", "read", id="read", marks=pytest.mark.rabbitmq),
    ],
)
def test_a_refused_companion_is_left_out(
    request: pytest.FixtureRequest, url: str, refused: str
) -> None:
    """The worker, its ordinary tasks and its other queues go on; `why` and `doctor` say it."""
    with zoo_at(request, url, {"shop": "classic", "free": "classic"}, lease=2) as zoo:
        zoo.worker("worker-control", queues="orchestrator", concurrency=1)
        if url == "broker_url":
            narrow = user_of_redis(zoo.stack.broker_url)
        else:
            rabbitmq = request.getfixturevalue("rabbitmq")
            narrow = user_of_rabbitmq(rabbitmq, zoo.stack.broker_url, refused)
        with narrow as (broker, grant):
            env = {**NO_CONTROL, "ORCHESTRATOR_BROKER_URL": broker}
            zoo.worker("worker-narrow", concurrency=1, env=env)
            zoo.stack.until(lambda: row_of(zoo, "worker-narrow")[0] == ["free"], "it is refused")
            log = log_of(zoo, "worker-narrow")
            assert log.count("The broker refuses the queue of steps") == 1
            call_ordinarily(zoo, "shop", "classic", range(7, 8))
            zoo.stack.until(lambda: len(zoo.seen("note")) == 1, "ordinary work goes on")
            (instance,) = start_notes(zoo, "free", 1)
            assert zoo.stack.wait(instance)["status"] == "completed"
            (waiting,) = start_notes(zoo, "shop", 1)
            zoo.stack.until(lambda: "refuses its companion" in why(zoo, waiting), "`why` says it")
            assert "takes no steps of the queue shop" in doctor(zoo, "companions")
            grant()
            zoo.worker("worker-granted", concurrency=1, env=env)
            assert zoo.stack.wait(waiting)["status"] == "completed"
            assert row_of(zoo, "worker-granted") == (["free", "shop"], {})


def why(zoo: Zoo, instance: str) -> str:
    answer = zoo.stack.client.get(f"/v1/instances/{instance}/why")
    assert answer.status_code == 200, answer.text
    return " ".join(cause["message"] for cause in answer.json()["causes"])


def doctor(zoo: Zoo, check: str) -> str:
    """Return what a check of the doctor finds."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "doctor", "-o", "json"],
        env=zoo.stack.environment(),
        cwd=Path(zoo.stack.folder),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout, done.stderr
    return " ".join(each["found"] for each in json.loads(done.stdout) if each["check"] == check)


@pytest.mark.rabbitmq
def test_a_queue_whose_companions_name_is_too_long(request: pytest.FixtureRequest) -> None:
    name = "q" * 250
    with zoo_at(request, "rabbitmq_url", {name: "classic"}) as zoo:
        zoo.worker("worker-long", concurrency=1)
        zoo.stack.until(lambda: name in row_of(zoo, "worker-long")[1], "it is left out")
        assert row_of(zoo, "worker-long")[0] == ["orchestrator"]
        call_ordinarily(zoo, name, "classic", range(1))
        zoo.stack.until(lambda: len(zoo.seen("note")) == 1, "ordinary work goes on")


@pytest.mark.rabbitmq
def test_an_operators_companion_is_taken_as_it_is(request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("rabbitmq_url")
    arguments = {"x-max-length": 100_000}
    with Celery("operator", broker=url, set_as_current=False) as app, app.connection() as broker:
        Queue("shop.orchestrator", queue_arguments=arguments)(broker.channel()).declare()
    with zoo_at(request, "rabbitmq_url", {"shop": "classic"}) as zoo:
        zoo.worker("worker-shop", concurrency=1)
        (instance,) = start_notes(zoo, "shop", 1)
        assert zoo.stack.wait(instance)["status"] == "completed"


def test_a_trial_on_redis_has_a_connection_of_its_own(broker_url: str) -> None:
    """Below kombu 5.7 the end of another connection of the same transport stops its reading."""
    with Connection(broker_url) as connection:
        worker = connection.channel()
        transport: Any = connection.transport
        before = {*transport.cycle._channels}
        assert worker in before
        with QueueTrial(connection) as trial:
            assert trial.why_refused(Queue("tried")) is None
            assert transport.cycle._channels == before
