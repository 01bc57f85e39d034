"""The broker is expendable (invariant I6): stopped or flushed at any moment, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.embedded import Valkey
from tests.support.stack import Stack


def document(name: str, steps: int) -> dict[str, Any]:
    return {
        "document": {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"},
        "do": [
            {f"step{n}": {"call": "steps.effect", "with": {"name": f"e{n}"}}} for n in range(steps)
        ],
    }


@pytest.fixture
def stack(tmp_path: Path, database_url: str, valkey: Valkey) -> Iterator[Stack]:
    valkey.start()
    settings = {"lease": 2, "republish_after": 1, "continuation_budget": 0}
    with Stack(tmp_path, database_url, valkey.url, **settings) as stack:
        stack.api()
        stack.beat()
        stack.worker(restart=True)
        yield stack


def test_a_start_is_taken_while_the_broker_is_away_and_runs_once_it_is_back(
    stack: Stack, valkey: Valkey
) -> None:
    body = stack.deploy(document("away", 2))
    stack.wait(stack.start(body))  # everything is warm: the second start measures the outage
    valkey.stop()
    before = time.monotonic()
    id = stack.start(body)
    assert time.monotonic() - before < 1
    assert stack.sql("select status from orchestrator.instances where id = %s", id) == [
        ("pending",)
    ]
    valkey.start()
    assert stack.wait(id)["status"] == "completed"


def completed(stack: Stack, count: int) -> bool:
    """Whether so many steps have completed."""
    sql = "select count(*) >= %s from orchestrator.steps where status = 'completed'"
    return stack.sql(sql, count) == [(True,)]


@pytest.mark.slow
def test_flushes_in_the_middle_of_runs_lose_nothing(stack: Stack, valkey: Valkey) -> None:
    body = stack.deploy(document("flushed", 5))
    ids = [stack.start(body) for _ in range(10)]
    flushes = 0
    with redis.Redis.from_url(valkey.url) as client:
        for done in (5, 15, 30):  # steps: each flush falls between two of them
            stack.until(partial(completed, stack, done), f"{done} steps")
            client.flushall()
            flushes += 1
    ended = [stack.wait(id) for id in ids]
    assert flushes == 3
    # The flushes struck: messages were lost, and sent again.
    assert stack.sql("select max(publish_count) > 1 from orchestrator.attempts") == [(True,)]
    assert {one["status"] for one in ended} == {"completed"}
    assert stack.sql("select count(*), count(distinct key) from public.ledger") == [(50, 50)]
    assert stack.sql("select count(*) from orchestrator.attempts where state <> 'succeeded'") == [
        (0,)
    ]
