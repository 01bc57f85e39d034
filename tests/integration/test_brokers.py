"""Brokers may lose, repeat and reorder messages; workflows do not change.

Both brokers deliver each message ten times in any order. RabbitMQ's own cases are queues of other
types, deleted queues and a server that dies.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Message, Queue, pools

from orchestrator import broker_settings
from orchestrator.companion_queues import companion_of
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.ids import new_id
from orchestrator.task_dispatcher import TaskDispatcher
from tests.conftest import fresh_rabbitmq
from tests.support.rabbitmq import RabbitMQ
from tests.support.stack import Stack
from tests.support.zoo import Zoo, zoo_on

#: The default queue as a user's app without queue settings declares it, and its companion.
CELERY = Queue("celery", Exchange("celery"), "celery")
STEPS = companion_of(CELERY, "orchestrator")
COPIES = 10


def taken(url: str, count: int, timeout: float = 120) -> list[Message]:
    """Wait for `count` messages of steps of the queue `celery`; remove and return them."""
    found: list[Message] = []
    deadline = time.monotonic() + timeout
    with Connection(url) as connection:
        channel: Any = connection.channel()
        while len(found) < count:
            message = channel.basic_get(STEPS.name, no_ack=True)
            if message is not None:
                found.append(channel.message_to_python(message) if _is_raw(message) else message)
                continue
            assert time.monotonic() < deadline, f"{len(found)} of {count} messages"
            time.sleep(0.05)  # poll interval
    return found


def _is_raw(message: Any) -> bool:
    return not isinstance(message, Message)


def put_back(url: str, messages: list[Message]) -> None:
    """Publish the messages unchanged."""
    with Connection(url) as connection, connection.Producer() as producer:
        for message in messages:
            producer.publish(
                message.body,
                routing_key=STEPS.name,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=message.headers,
                correlation_id=message.properties["correlation_id"],
            )


def refused(url: str) -> int:
    """Return how many messages the workers have refused by their own counters."""
    pools.reset()  # an earlier test may have left a connection to the server before its restart
    with Celery("watcher", broker=url, set_as_current=False) as app:
        expected: Any = app.control.inspect(timeout=5).stats() or {}
    return sum(stats["orchestrator"]["refused"] for stats in expected.values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("url", "count"),
    [
        pytest.param("broker_url", 30, id="valkey", marks=pytest.mark.slow),
        pytest.param("broker_url", 100, id="valkey-100", marks=pytest.mark.slow),
        pytest.param("broker_url", 1000, id="valkey-1000", marks=pytest.mark.slow),
        pytest.param(
            "rabbitmq_url", 100, id="rabbitmq", marks=(pytest.mark.rabbitmq, pytest.mark.slow)
        ),
        pytest.param(
            "rabbitmq_url", 1000, id="rabbitmq-1000", marks=(pytest.mark.rabbitmq, pytest.mark.slow)
        ),
    ],
)
def test_ten_of_each_message_in_any_order(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_url: str,
    broker_url: str,
    url: str,
    count: int,
) -> None:
    there = request.getfixturevalue(url)
    with Connection(there) as connection:
        STEPS(connection.channel()).declare()  # no worker has declared it yet
    settings = {"republish_after": 300, "lease": 60}
    with zoo_on(tmp_path, database_url, there, broker_url, **settings) as zoo:
        zoo.worker("worker-control", queues="orchestrator", concurrency=1)
        body = zoo.stack.deploy(
            {
                "document": {"dsl": "1.0.3", "namespace": "z", "name": "n", "version": "1.0.0"},
                "do": [{"once": {"call": "zoo.note", "with": {"a": 1}}}],
            }
        )
        answer = zoo.stack.client.post("/v1/instances", json=[body] * count)
        assert answer.status_code in (200, 202, 207), answer.text
        messages = taken(there, count)
        assert len({message.headers["id"] for message in messages}) == count
        copies = messages * COPIES
        random.Random(4).shuffle(copies)
        put_back(there, copies)
        zoo.worker("worker-steps", queues="celery", concurrency=2)
        ended = "select count(*) from orchestrator.instances where status = 'completed'"
        zoo.stack.until(lambda: zoo.stack.sql(ended) == [(count,)], "all end", timeout=300)
        zoo.stack.until(
            lambda: refused(there) >= count * (COPIES - 1), "copies are refused", timeout=300
        )
        assert refused(there) == count * (COPIES - 1)
        expected = {"claimed": count, "refused": count * (COPIES - 1), "ended": count, "stale": 0}

        def counts() -> dict[str, int]:
            (worker,) = (
                each
                for each in zoo.stack.client.get("/v1/workers").json()["items"]
                if each["name"] == "worker-steps@test"
            )
            return {name: worker["counts"].get(name) for name in expected}

        zoo.stack.until(lambda: counts() == expected, "the next heartbeat reports them")
        assert len(zoo.seen("note")) == count, "each task has run once"
        assert zoo.stack.sql(
            "select (select count(*) from orchestrator.history),"
            " (select count(*) from orchestrator.attempts)"
        ) == [(2 * count, count)]


# -- RabbitMQ ------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path: Path, database_url: str, rabbitmq_url: str, broker_url: str) -> Iterator[Zoo]:
    settings = {"lease": 2, "republish_after": 2}
    with zoo_on(tmp_path, database_url, rabbitmq_url, broker_url, **settings) as zoo:
        yield zoo


def exists(url: str, kind: str, name: str) -> bool:
    """Return whether a queue or an exchange exists."""
    with contextlib.closing(Connection(url)) as connection:
        channel: Any = connection.channel()
        try:
            if kind == "queue":
                channel.queue_declare(name, passive=True)
            else:
                channel.exchange_declare(name, "topic", passive=True)
        except connection.channel_errors:
            return False
        return True


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_a_users_worker_keeps_its_own_queues(zoo: Zoo) -> None:
    """Its queue stays classic, and Celery does not switch to its mode for quorum queues."""
    zoo.worker()
    assert zoo.output("plain", a=1) == {"sum": 3}
    url = zoo.stack.broker_url
    with Connection(url) as connection:
        CELERY(connection.channel()).declare()  # raises if its type has changed
        broker_settings.queue("orchestrator", url)(connection.channel()).declare()
    assert not exists(url, "exchange", "celery_delayed_27")
    assert "Global QoS is disabled" not in (zoo.stack.folder / "worker.log").read_text()


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_our_worker_takes_queues_as_they_are(
    tmp_path: Path, database_url: str, rabbitmq_url: str, broker_url: str
) -> None:
    """Of a project with a classic queue of that name, and of an operator who has made ours."""
    with Connection(rabbitmq_url) as connection:
        CELERY(connection.channel()).declare()
        Queue("orchestrator", queue_arguments={"x-max-length": 10_000})(
            connection.channel()
        ).declare()
    with Stack(tmp_path, database_url, rabbitmq_url) as stack:
        stack.api()
        stack.worker(
            app="orchestrator.execution.entry_points.worker_and_beat_app",
            env={
                "ORCHESTRATOR_IMPORTS": "tests.celery_apps.every_task_kind.tasks",
                "ZOO_REDIS_URL": broker_url,
            },
        )
        zoo = Zoo(stack, None, {})  # type: ignore[arg-type]  # its tasks record nothing
        body = {"document": {"dsl": "1.0.3", "namespace": "z", "name": "n", "version": "1.0.0"}}
        ended = zoo.stack.run({**body, "do": [{"s": {"call": "zoo.plain", "with": {"a": 1}}}]})
        assert ended["output"] == {"sum": 3}


@pytest.mark.rabbitmq
def test_a_step_waits_for_the_first_worker_of_its_queue(zoo: Zoo) -> None:
    zoo.worker("worker-control", queues="orchestrator", concurrency=1)
    instance = zoo.start("plain", a=1)
    log = zoo.stack.folder / "worker-control.log"
    zoo.stack.until(
        lambda: "No worker has declared this queue" in log.read_text(),
        "the missing queue is logged",
    )
    zoo.worker("worker-steps", queues="celery", concurrency=1)
    assert zoo.stack.wait(instance)["output"] == {"sum": 3}


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_queues_that_are_deleted_are_made_again(zoo: Zoo) -> None:
    zoo.worker()
    assert zoo.output("plain", a=1) == {"sum": 3}
    with Connection(zoo.stack.broker_url) as connection:
        channel: Any = connection.channel()
        for name in ("celery", STEPS.name, "orchestrator"):
            channel.queue_delete(name)
    assert zoo.output("plain", a=2) == {"sum": 4}
    assert zoo.output("plain", a=3) == {"sum": 5}


@pytest.mark.rabbitmq
def test_a_server_that_dies_loses_nothing(zoo: Zoo, rabbitmq: RabbitMQ) -> None:
    zoo.worker()
    running = zoo.start("sleeps", seconds=2, key=new_id())
    zoo.stack.until(lambda: bool(zoo.seen("sleeping")), "the task runs")
    document = zoo.stack.deploy(
        {
            "document": {"dsl": "1.0.3", "namespace": "z", "name": "n", "version": "1.0.0"},
            "do": [{"s": {"call": "zoo.plain", "with": {"a": 1}}}],
        }
    )
    rabbitmq.kill()
    began = time.monotonic()
    meanwhile = zoo.stack.start(document)
    assert time.monotonic() - began < 3  # 1 second on an idle machine
    assert zoo.stack.wait(running)["output"] == {"count": 1}
    rabbitmq.start()
    assert zoo.stack.wait(meanwhile)["output"] == {"sum": 3}


# -- what the dispatcher sends -------------------------------------------------------


@contextlib.contextmanager
def dispatcher(url: str) -> Iterator[TaskDispatcher]:
    with Celery("sender", broker=url, set_as_current=False) as app:
        sender = TaskDispatcher(app, "orchestrator", 2.0)
        yield sender
        sender.close()


@pytest.mark.parametrize(
    ("url", "on_wire"),
    [("broker_url", 0), pytest.param("rabbitmq_url", 9, marks=pytest.mark.rabbitmq)],
)
def test_nine_is_the_most_urgent(request: pytest.FixtureRequest, url: str, on_wire: int) -> None:
    there = request.getfixturevalue(url)
    with Connection(there) as connection:
        STEPS(connection.channel()).declare()
    ready = PublishableAttempt(new_id(), new_id(), 1, "zoo.plain", "celery", 9, None)
    with dispatcher(there) as sender:
        sender.publish([ready])
    (message,) = taken(there, 1)
    properties: dict[str, Any] = message.properties
    assert properties["priority"] == on_wire


@pytest.mark.rabbitmq
def test_the_dispatcher_makes_only_the_control_queue(rabbitmq_url: str) -> None:
    with dispatcher(rabbitmq_url) as sender:
        sender.hint(new_id())
        sender.publish(
            [PublishableAttempt(new_id(), new_id(), 1, "zoo.plain", "theirs", None, None)]
        )
    assert exists(rabbitmq_url, "queue", "orchestrator")
    assert not exists(rabbitmq_url, "queue", "theirs")
    assert not exists(rabbitmq_url, "queue", "theirs.orchestrator")
    with Connection(rabbitmq_url) as connection:
        channel: Any = connection.channel()
        message = channel.basic_get("orchestrator", no_ack=True)
        assert message is not None, "the first hint is there too"


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_a_connection_that_broke_costs_no_message(rabbitmq: RabbitMQ) -> None:
    url = fresh_rabbitmq(rabbitmq)
    with dispatcher(url) as sender:
        sender.hint(new_id())
        rabbitmq.restart()
        sender.hint(new_id())
    with Connection(url) as connection:
        channel: Any = connection.channel()
        assert [channel.basic_get("orchestrator", no_ack=True) is None for _ in range(3)] == [
            False,
            False,
            True,
        ]
