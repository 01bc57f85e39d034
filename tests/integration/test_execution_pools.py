"""Steps in the pools without processes or threads, and workers whose pool runs none.

`install(app)` stops no worker. The lease is short here: nothing may be lost because a pool's tasks
share a thread.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery

from orchestrator.celery_versions import CELERY
from orchestrator.ids import new_id
from tests.support.broker_connections import disconnect
from tests.support.zoo import Zoo, zoo_on

LEASE = 3
RABBITMQ = (pytest.mark.rabbitmq, pytest.mark.slow)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("module_broker_url", id="redis"),
        pytest.param("module_rabbitmq_url", id="rabbitmq", marks=RABBITMQ),
    ],
)
def shared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    module_database_url: str,
    module_broker_url: str,
) -> Iterator[Zoo]:
    """API and beat for all tests of this module."""
    folder = tmp_path_factory.mktemp("pools")
    urls = (module_database_url, request.getfixturevalue(request.param), module_broker_url)
    with zoo_on(folder, *urls, lease=LEASE, republish_after=2, shutdown_grace=20) as zoo:
        yield zoo


@pytest.fixture
def zoo(shared: Zoo) -> Iterator[Zoo]:
    """The product without a worker; the workers of a test end with it."""
    yield shared
    shared.end_workers()


def states(zoo: Zoo, instance: str) -> list[str]:
    """Return the state of each attempt of the instance."""
    return [state for state, _ in zoo.attempts(instance)]


# -- gevent ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_task_that_holds_the_hub_for_three_leases_starts_once(zoo: Zoo) -> None:
    zoo.worker(pool="gevent", concurrency=4)
    instance = zoo.start("holds_the_hub", seconds=3 * LEASE, key=new_id())
    assert zoo.stack.wait(instance, 60)["output"] == {"count": 1}
    assert states(zoo, instance) == ["succeeded"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_thousand_steps_in_twenty_greenlets(zoo: Zoo) -> None:
    zoo.worker(pool="gevent", concurrency=20)
    zoo.seen_in_redis.delete("zoo")
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    step = {"s": {"call": "zoo.number", "with": {"a": "${ $n }", "b": 1}}}
    each = {"each": "n", "in": "${ [range(30)] }"}
    loop = {"many": {"for": each, "do": [step], "metadata": {"concurrency": 5}}}
    body = zoo.stack.deploy({"document": head, "do": [loop]})
    answer = zoo.stack.client.post("/v1/instances", json=[body] * 100)
    assert answer.status_code in (200, 202, 207), answer.text
    ids = [each["id"] for each in answer.json()]
    ended = (
        "select count(*) from orchestrator.instances"
        " where status = 'completed' and id = any(%s::uuid[])"
    )
    zoo.stack.until(lambda: zoo.stack.sql(ended, ids) == [(100,)], "all end", timeout=240)
    attempts = (
        "select state, count(*) from orchestrator.attempts where instance_id = any(%s::uuid[])"
        " group by 1"
    )
    assert zoo.stack.sql(attempts, ids) == [("succeeded", 3000)]

    def rests() -> bool:
        slots = "select cardinality(in_flight), free_slots from orchestrator.workers"
        return (0, 20) in zoo.stack.sql(f"{slots} where stopped_at is null")

    zoo.stack.until(rests, "every slot is given back")


def test_greenlets_read_from_rabbitmq_only_what_has_arrived(zoo: Zoo, tmp_path: Path) -> None:
    """No read waits. Celery's own loop waits in one for acknowledgements, or after each message for
    the events' connection: such a worker took 10 messages in a second."""
    if not zoo.stack.broker_url.startswith("amqp"):
        pytest.skip("Redis is polled")
    timeouts = tmp_path / "timeouts"
    env = {"ZOO_READ_TIMEOUTS": str(timeouts), "ORCHESTRATOR_CONTINUATION_BUDGET": "0"}
    zoo.worker(pool="gevent", concurrency=4, env=env)
    ended = zoo.run_all([("number", {"a": n}) for n in range(20)])
    assert ended["output"] == 20
    assert timeouts.read_text() == "patched\n"


@pytest.mark.slow
def test_greenlets_go_on_after_a_lost_connection(zoo: Zoo, request: pytest.FixtureRequest) -> None:
    zoo.worker("worker-lost", pool="gevent", concurrency=4)
    assert zoo.output("plain", a=1) == {"sum": 3}
    disconnect(request, zoo.stack.broker_url)
    log = zoo.stack.folder / "worker-lost.log"
    zoo.stack.until(lambda: "Connection to broker lost" in log.read_text(), "it notices")
    for a in range(5):
        assert zoo.output("plain", a=a) == {"sum": a + 2}


def test_a_killed_worker_of_greenlets_loses_no_step(zoo: Zoo) -> None:
    process = zoo.worker(pool="gevent", concurrency=4)
    key = new_id()
    zoo.seen_in_redis.delete("zoo")
    instances = [zoo.start("sleeps", seconds=30, again=0, key=f"{key}-{n}") for n in range(3)]
    zoo.stack.until(lambda: len(zoo.seen("sleeping")) == 3, "all bodies run")
    os.kill(process.pid, signal.SIGKILL)
    zoo.worker("worker2", pool="gevent", concurrency=4)
    for instance in instances:
        assert zoo.stack.wait(instance, 60)["output"] == {"count": 2}


@pytest.mark.slow
def test_a_stopped_evaluator_holds_up_no_other_greenlet(zoo: Zoo) -> None:
    """The evaluator's answer never comes. Tasks go on, and the step is evaluated by another."""
    process = zoo.worker(pool="gevent", concurrency=4, queues="celery,orchestrator")
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    program = "${ [limit(3; repeat(.a))] | add }"  # more than the fast path knows
    do = [{"s": {"call": "zoo.number", "with": {"a": program, "b": 1}}}]
    body = zoo.stack.deploy({"document": head, "do": do})

    def run(a: int) -> str:
        return zoo.stack.start(body, input={"a": a})

    assert zoo.stack.wait(run(1))["output"] == 4

    def evaluators() -> list[psutil.Process]:
        children = psutil.Process(process.pid).children(recursive=True)
        return [each for each in children if any("sandbox" in word for word in each.cmdline())]

    (child,) = evaluators()
    child.suspend()
    waiting = run(2)
    assert zoo.output("plain", a=1) == {"sum": 3}
    assert zoo.stack.wait(waiting, 60)["output"] == 7
    assert child not in evaluators(), "another one has its place"


@pytest.mark.parametrize("psycogreen", ["", "1"])
def test_copy_in_a_users_task(zoo: Zoo, psycogreen: str) -> None:
    """Ours is no process-wide setting of psycopg2. Under psycogreen's own, COPY does not work, and
    steps do."""
    zoo.worker(pool="gevent", concurrency=4, env={"ZOO_PSYCOGREEN": psycogreen})
    if psycogreen:
        assert "asynchronous" in zoo.error("copies", count=7)["detail"]
        assert zoo.output("plain", a=1) == {"sum": 3}
    else:
        assert zoo.output("copies", count=7) == {"lines": 7}


def test_steps_with_a_limit_are_left_to_processes(zoo: Zoo) -> None:
    """gevent raises a limit at any point of a greenlet, so one that the app sets does not hold."""
    zoo.worker(pool="gevent", concurrency=4, arguments=("--time-limit", "1"))
    assert zoo.output("sleeps", seconds=2, key=new_id()) == {"count": 1}
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    limited = {"call": "zoo.plain", "with": {"a": 1}, "timeout": {"after": {"seconds": 30}}}
    instance = zoo.stack.start(zoo.stack.deploy({"document": head, "do": [{"s": limited}]}))
    refused = (
        "select 1 from orchestrator.attempts where instance_id = %s and refused_at is not null"
    )
    zoo.stack.until(lambda: bool(zoo.stack.sql(refused, instance)), "it is refused")
    zoo.worker("worker-processes", concurrency=1)
    assert zoo.stack.wait(instance)["output"] == {"sum": 3}


@pytest.mark.parametrize("pool", ["gevent", "solo"])
def test_sigterm_lets_a_step_end(zoo: Zoo, pool: str) -> None:
    process = zoo.worker(pool=pool, concurrency=2)
    instance = zoo.start("sleeps", seconds=1, key=new_id())
    zoo.stack.until(lambda: bool(zoo.seen("sleeping")), "the task runs")
    os.kill(process.pid, signal.SIGTERM)
    zoo.stack.until(lambda: not process.running, "the worker ends")
    assert zoo.stack.wait(instance)["output"] == {"count": 1}
    assert zoo.stack.sql(
        "select stopped_at is not null, cardinality(in_flight) from orchestrator.workers"
        " order by started_at desc limit 1"
    ) == [(True, 0)]


# -- solo -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_solo_runs_one_step_at_a_time_and_keeps_its_lease(zoo: Zoo) -> None:
    zoo.worker(pool="solo", concurrency=4)
    instances = [zoo.start("sleeps", seconds=2 * LEASE, key=new_id()) for _ in range(2)]
    for instance in instances:
        assert zoo.stack.wait(instance, 60)["output"] == {"count": 1}
        assert states(zoo, instance) == ["succeeded"]
    assert zoo.stack.sql(
        "select pool, concurrency from orchestrator.workers order by started_at desc limit 1"
    ) == [("solo", 1)]


# -- pools that run no steps ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "named", "arguments"),
    [
        pytest.param("eventlet", "eventlet", (), marks=pytest.mark.slow),
        pytest.param("custom", "foreign_pool", (), id="custom"),
        pytest.param("prefork", "prefork", ("spawned",), marks=pytest.mark.slow, id="spawned"),
    ],
)
def test_any_other_pool_runs_everything_but_steps(
    zoo: Zoo, pool: str, named: str, arguments: Any
) -> None:
    environment: dict[str, Any] = {
        "CELERY_CUSTOM_WORKER_POOL": "tests.celery_apps.every_task_kind.foreign_pool:TaskPool"
    }
    if arguments:
        if CELERY < (5, 7):
            pytest.skip("Celery spawns processes since 5.7")
        environment["ZOO_START_METHOD"] = "spawn"
    worker = f"worker-{named}"
    zoo.worker(worker, pool=pool, concurrency=1, env=environment)
    zoo.seen_in_redis.delete("zoo")
    # A connection of its own: the pool of this URL is closed with the first app that used it.
    with (
        Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app,
        app.connection_for_write() as connection,
        app.amqp.Producer(connection) as producer,
    ):
        app.send_task("zoo.note", args=(7,), producer=producer)
    zoo.stack.until(lambda: bool(zoo.seen("note")), "an ordinary task runs")
    log = (zoo.stack.folder / f"{worker}.log").read_text().splitlines()
    (line,) = (each for each in log if "runs no steps of workflows" in each)
    assert f"pool={named} reason=" in line
    zoo.worker("worker-steps", concurrency=1)
    assert zoo.output("plain", a=1) == {"sum": 3}
