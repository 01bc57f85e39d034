"""What local continuation may not do: keep others waiting beyond its budget, or a worker alive.

One worker of one process runs a chain of many quick steps; without the budget it would have
no turn for anybody else before the chain's end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.ids import new_id
from tests.support.zoo import Zoo, zoo_on

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: Quick steps of the long chain: some tens of budgets.
STEPS = 1_500
QUEUES = ("--queues", "orchestrator,celery,elsewhere")


@pytest.fixture
def zoo(tmp_path_factory: Any, database_url: str, broker_url: str) -> Iterator[Zoo]:
    with zoo_on(tmp_path_factory.mktemp("chain"), database_url, broker_url, lease=60) as zoo:
        yield zoo


def start(zoo: Zoo, *tasks: dict[str, Any]) -> str:
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    do = [{f"t{number}": task} for number, task in enumerate(tasks)]
    return zoo.stack.start(zoo.stack.deploy({"document": head, "do": do}))


def long_chain(zoo: Zoo) -> str:
    each = {
        "for": {"in": f"[range({STEPS})]"},
        "do": [{"s": {"call": "zoo.plain", "with": {"a": 1}}}],
    }
    return start(zoo, each)


def steps_done(zoo: Zoo, instance: str) -> int:
    ((count,),) = zoo.stack.sql(
        "select count(*) from orchestrator.attempts where instance_id = %s and state = 'succeeded'",
        instance,
    )
    return int(count)


@pytest.mark.parametrize(
    "metadata",
    [{"queue": "elsewhere"}, {"priority": 9}, {}],
    ids=["another queue", "the highest priority", "the same"],
)
def test_a_long_chain_keeps_nobody_waiting(zoo: Zoo, metadata: dict[str, Any]) -> None:
    zoo.worker(concurrency=1, arguments=QUEUES)
    chain = long_chain(zoo)
    zoo.stack.until(lambda: steps_done(zoo, chain) > 0, "the chain runs")
    other = start(zoo, {"call": "zoo.plain", "with": {"a": 1}, "metadata": metadata})
    assert zoo.stack.wait(other, 200)["status"] == "completed"
    assert steps_done(zoo, chain) < STEPS
    assert zoo.stack.wait(chain, 300)["status"] == "completed"


def test_a_worker_that_stops_does_not_continue(zoo: Zoo) -> None:
    process = zoo.worker(concurrency=1)
    chain = long_chain(zoo)
    zoo.stack.until(lambda: steps_done(zoo, chain) > 0, "the chain runs")
    os.kill(process.pid, signal.SIGTERM)
    zoo.stack.until(lambda: not process.running, "the worker ends")
    assert process.code == 0, zoo.stack.logs()
    assert steps_done(zoo, chain) < STEPS
    zoo.worker("worker2", concurrency=1)
    assert zoo.stack.wait(chain, 300)["status"] == "completed"
    assert zoo.stack.sql(
        "select count(*) from orchestrator.attempts where instance_id = %s and number > 1", chain
    ) == [(0,)], "nothing was run again"
