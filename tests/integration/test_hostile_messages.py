"""Whatever bytes stand in a queue: a worker drops them, keeps its slots, and runs the next step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from tests.faults.documents import LINE
from tests.support import hostile_messages
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

TASK = "chaos.effect"
QUEUES = ("celery", "celery.orchestrator", "orchestrator")
SLOTS = 2
#: A worker that has lost a slot or its consumer for good is restarted by its watchdog after 15 s.
SOON = 12.0
LARGE = 50_000_000


@pytest.fixture(params=["prefork", "threads"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def survives(
    folder: Path, database_url: str, broker_url: str, pool: str, messages: Iterator[Any], send: Any
) -> None:
    """Send each message to both queues as often as the worker has slots, and once more; then a
    workflow must run on the same worker."""
    env: dict[str, Any] = {"CHAOS_LEDGER": folder / "ledger.jsonl"}
    with Stack(folder, database_url, broker_url) as stack:
        stack.api()
        worker = stack.worker(
            app="tests.celery_apps.chaos", env=env, timeout=120, pool=pool, concurrency=SLOTS
        )
        body = stack.deploy(LINE)
        for name, message in messages:
            send(message, 1 if "large" in name else SLOTS + 1)
            assert stack.wait(stack.start(body), SOON)["status"] == "completed", name
            assert worker.starts == 1, name
        dropped = stack.logs(100_000).count('"message_rejected"')
        assert 0 < dropped < 200, "a line a second at most"


def test_on_redis(tmp_path, database_url, broker_url, pool):
    with redis.Redis.from_url(broker_url) as client:

        def send(text: str, count: int) -> None:
            for queue in QUEUES:
                client.lpush(queue, *[text] * count)

        messages = hostile_messages.envelopes(TASK, LARGE)
        survives(tmp_path, database_url, broker_url, pool, messages, send)


@pytest.mark.rabbitmq
def test_on_rabbitmq(tmp_path, database_url, rabbitmq_url, pool):
    with Connection(rabbitmq_url) as connection:
        channel: Any = connection.channel()

        def send(message: Any, count: int) -> None:
            for queue in QUEUES:
                for _ in range(count):
                    channel.basic_publish(message, exchange="", routing_key=queue)

        messages = hostile_messages.amqp_messages(TASK, LARGE)
        survives(tmp_path, database_url, rabbitmq_url, pool, messages, send)
