"""Messages sent to Redis: in batches, by one client, over broken connections."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import redis
from celery import Celery
from kombu import Producer

from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.ids import new_id
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.task_dispatcher import INSTANCES_PER_HINT, REDIS_BATCH, TaskDispatcher

QUEUE = "control"


@pytest.fixture
def dispatcher(broker_url: str) -> Iterator[TaskDispatcher]:
    with Celery("dispatcher", broker=broker_url, set_as_current=False) as app:
        dispatcher = TaskDispatcher(app, QUEUE, 2.0)
        yield dispatcher
        dispatcher.close()


@pytest.fixture
def server(broker_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker_url) as server:
        yield server


def hinted(server: redis.Redis) -> list[list[str]]:
    """Return the instances that each message names, in the order of sending."""
    texts = server.lrange(QUEUE, 0, -1)
    messages = [json.loads(text) for text in reversed(texts)]
    return [json.loads(base64.b64decode(message["body"]))[0] for message in messages]


def test_a_hint_names_a_few_instances_and_many_are_sent_in_batches(
    dispatcher: TaskDispatcher, server: redis.Redis
) -> None:
    ids = [new_id() for _ in range(REDIS_BATCH * INSTANCES_PER_HINT * 2 + 1)]
    dispatcher.hint(*ids)
    messages = hinted(server)
    assert [id for message in messages for id in message] == ids
    assert {len(message) for message in messages} == {INSTANCES_PER_HINT, 1}


def test_connections_that_the_broker_has_closed_cost_no_message(
    dispatcher: TaskDispatcher, server: redis.Redis
) -> None:
    for sent in range(3):
        dispatcher.hint(new_id())
        dispatcher.hint(*(new_id() for _ in range(INSTANCES_PER_HINT + 1)))
        assert len(hinted(server)) == 3 * (sent + 1)
        server.client_kill_filter(_type="normal", skipme=True)


def test_messages_are_sent_by_one_client(
    dispatcher: TaskDispatcher, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[redis.Redis] = []
    create = redis.Redis.__init__

    def noted(self: redis.Redis, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        create(self, *args, **kwargs)

    monkeypatch.setattr(redis.Redis, "__init__", noted)
    for _ in range(10):
        dispatcher.hint(new_id())
    assert len(hinted(server)) == 10
    assert len(made) <= 2


def test_a_batch_before_kombu_5_7_is_one_round_trip(
    dispatcher: TaskDispatcher, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Producer, "batch", raising=False)
    dispatcher.hint(new_id())  # the connection's own commands
    before = server.info("commandstats")["cmdstat_lpush"]["calls"]
    pipelines: list[int] = []
    execute = redis.client.Pipeline.execute

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        pipelines.append(len(self.command_stack))
        return execute(self, *args, **kwargs)

    monkeypatch.setattr(redis.client.Pipeline, "execute", counted)
    ids = [new_id() for _ in range(50 * INSTANCES_PER_HINT)]
    dispatcher.hint(*ids)
    assert [id for message in hinted(server)[1:] for id in message] == ids
    assert server.info("commandstats")["cmdstat_lpush"]["calls"] == before + 50
    assert pipelines == [50]
    dispatcher.hint(new_id())
    assert len(hinted(server)) == 52, "the channel sends single messages again"


@pytest.mark.parametrize("batch", [True, False])
def test_a_message_that_cannot_be_sent_is_named_and_holds_up_no_other(
    broker_url: str,
    server: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    batch: bool,
) -> None:
    if not batch:
        monkeypatch.delattr(Producer, "batch", raising=False)
    meter = Meter()
    with Celery("dispatcher", broker=broker_url, set_as_current=False) as app:
        dispatcher = TaskDispatcher(app, QUEUE, 2.0, meter)
        attempts = [
            PublishableAttempt(new_id(), new_id(), 1, "shop.pay", "shop", priority, None)  # type: ignore[arg-type]  # which makes it unsendable
            for priority in (1, "high", 2)
        ]
        dispatcher.publish(attempts)
        dispatcher.close()
    sent = [json.loads(text) for key in server.keys("shop*") for text in server.lrange(key, 0, -1)]
    assert {message["headers"]["id"] for message in sent} == {attempts[0].id, attempts[2].id}
    (line,) = (each for each in caplog.records if each.levelname == "ERROR")
    assert (line.attempt, line.task) == (attempts[1].id, "shop.pay")  # type: ignore[attr-defined]
    assert line.exc_info is not None
    assert "TypeError" in str(line.exc_info[0])
    counted = {name: numbers for name, _, numbers in meter.read()}
    assert counted[metrics.PUBLISH_FAILURES.name] == [1]


def test_a_steps_message_is_ours_in_the_companion_of_its_queue(
    dispatcher: TaskDispatcher, server: redis.Redis
) -> None:
    attempt = PublishableAttempt(new_id(), new_id(), 3, "shop.pay", "shop", None, None)
    dispatcher.publish([attempt])
    (text,) = server.lrange(f"shop.{QUEUE}", 0, -1)
    headers = json.loads(text)["headers"]
    assert (headers["id"], headers["task"]) == (attempt.id, "orchestrator.step")
    assert headers["orchestrator"] == {
        "instance": attempt.instance,
        "step": 3,
        "task": "shop.pay",
        "v": 1,
    }
    assert not server.exists("shop")


def test_options_that_a_users_app_has_announced_name_the_lists(
    broker_url: str, server: redis.Redis
) -> None:
    class Announced:
        options: ClassVar[dict[str, Any]] = {}

        def refresh(self) -> None:
            """They change while the test runs."""

    with Celery("own", broker=broker_url, set_as_current=False) as app:
        announced: Any = Announced()
        sender = TaskDispatcher(app, QUEUE, 2.0, None, announced, follows_options=True)
        sender.hint(new_id())
        announced.options = {"global_keyprefix": "shop:", "sep": "|", "priority_steps": [0, 5]}
        sender.refresh_routes()
        sender.hint(new_id())
        urgent = PublishableAttempt(new_id(), new_id(), 3, "shop.pay", "shop", 3, None)
        sender.publish([urgent])
        sender.close()
    assert server.llen(QUEUE) == server.llen(f"shop:{QUEUE}") == 1
    assert server.llen(f"shop:shop.{QUEUE}|5") == 1
