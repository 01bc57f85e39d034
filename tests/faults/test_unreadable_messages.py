"""What is no message does not end a worker."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.faults.documents import LINE
from tests.support.stack import Stack

GARBAGE = (
    '{"body": "W1tdLCB7fSwge31d", "hea',
    "[]",
    "{}",
    "null",
    "\0",
    '"x"',
    '{"properties": 1}',
)


@pytest.mark.slow
def test_a_worker_survives_what_is_no_message(tmp_path, database_url, broker_url):
    env: dict[str, Any] = {"CHAOS_LEDGER": tmp_path / "ledger.jsonl"}
    with Stack(tmp_path, database_url, broker_url) as stack:
        stack.api()
        worker = stack.worker(app="tests.celery_apps.chaos", env=env, timeout=120)
        with redis.Redis.from_url(broker_url) as client:
            for queue in ("celery", "orchestrator"):
                client.lpush(queue, *GARBAGE)
        assert stack.run(LINE)["status"] == "completed"
        stack.until(lambda: "message_rejected" in stack.logs(10_000), "the garbage is spoken of")
        assert worker.running
        assert worker.starts == 1
