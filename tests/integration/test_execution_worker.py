"""A worker's processes: exits are noticed at once, the worker stops in order and refuses messages.

The lease is long here, so that no test passes because a lease expired.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection

from orchestrator.embedded import Postgres
from orchestrator.embedded.supervisor import Process
from orchestrator.ids import new_id
from tests.support.zoo import Zoo, zoo_on

LEASE = 60
SOON = 15


each_pool = pytest.mark.parametrize(
    "pool", ["prefork", pytest.param("threads", marks=pytest.mark.slow)]
)


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, module_broker_url: str
) -> Iterator[Zoo]:
    """API and beat for all tests of this module."""
    folder = tmp_path_factory.mktemp("worker")
    settings: dict[str, Any] = {"lease": LEASE, "republish_after": 1, "shutdown_grace": 20}
    with zoo_on(folder, module_database_url, module_broker_url, **settings) as zoo:
        yield zoo


@pytest.fixture
def zoo(shared: Zoo) -> Iterator[Zoo]:
    """The product without a worker; the workers of a test end with it."""
    yield shared
    shared.end_workers()


def ended(zoo: Zoo, instance: str, timeout: float = SOON) -> dict[str, Any]:
    """Wait until the instance has ended; return it."""
    return zoo.stack.wait(instance, timeout)


def sleeping(zoo: Zoo, count: int = 1) -> None:
    """Wait until `count` tasks `sleeps` run."""
    zoo.stack.until(lambda: len(zoo.seen("sleeping")) >= count, "the task runs")


def exit_of(process: Process, timeout: float) -> tuple[int | None, float]:
    """Wait for a process; return its exit status and the seconds until its exit."""
    began = time.monotonic()
    while process.running and time.monotonic() - began < timeout:
        time.sleep(0.02)
    return process.code, time.monotonic() - began


def last_worker(zoo: Zoo) -> tuple[Any, ...]:
    """Return whether the newest worker has stopped in order, and its attempts and free slots."""
    (row,) = zoo.stack.sql(
        "select stopped_at is not null, cardinality(in_flight), free_slots"
        " from orchestrator.workers order by started_at desc limit 1"
    )
    return row


# -- deaths ------------------------------------------------------------


def test_a_child_that_dies_is_noticed_at_once(zoo: Zoo) -> None:
    zoo.worker(concurrency=1)
    instance = zoo.start("dies", key=new_id())
    assert ended(zoo, instance)["output"] == {"survived": True}
    (lost,) = zoo.stack.sql(
        "select error from orchestrator.attempts where instance_id = %s and state = 'lost'",
        instance,
    )
    assert lost[0]["title"] == "WorkerLostError"
    # The exit status is known only if the exit watcher was faster than billiard.
    assert "exited with status 9" in lost[0]["detail"] or "ended" in lost[0]["detail"]


@pytest.mark.slow
def test_a_child_killed_from_outside_is_noticed_at_once(zoo: Zoo) -> None:
    zoo.worker(concurrency=1)
    instance = zoo.start("sleeps", seconds=30, again=0, key=new_id())
    sleeping(zoo)
    ((pid,),) = zoo.stack.sql(
        "select process from orchestrator.attempts where instance_id = %s", instance
    )
    os.kill(pid, signal.SIGKILL)
    assert ended(zoo, instance)["output"] == {"count": 2}


def test_a_hung_step_that_ignores_sigterm_frees_its_slot(zoo: Zoo) -> None:
    zoo.worker(concurrency=1)
    instance = zoo.start("stubborn", key=new_id())
    began = time.monotonic()
    end = ended(zoo, instance)
    assert time.monotonic() - began < 1 + 5
    assert (end["status"], end["error"]["status"]) == ("faulted", 408)
    assert zoo.output("plain", a=1) == {"sum": 3}  # the slot is free


@each_pool
def test_the_heartbeat_reports_attempts_in_flight(zoo: Zoo, pool: str) -> None:
    zoo.worker(pool=pool, concurrency=2, env={"ORCHESTRATOR_LEASE": 1})
    key = new_id()
    instances = [zoo.start("sleeps", seconds=2, key=f"{key}-{n}") for n in range(2)]
    zoo.stack.until(
        lambda: bool(
            zoo.stack.sql(
                "select 1 from orchestrator.workers where cardinality(in_flight) = 2"
                " and free_slots = 0"
                " and in_flight @> (select array_agg(id) from orchestrator.attempts"
                " where state = 'claimed' and instance_id = any(%s::uuid[]))",
                instances,
            )
        ),
        "both are reported",
    )
    for instance in instances:
        assert ended(zoo, instance)["status"] == "completed"
    zoo.stack.until(lambda: last_worker(zoo)[2] == 2, "both slots are free")


# -- orderly ends --------------------------------------------------------------


@each_pool
def test_sigterm_lets_a_step_end(zoo: Zoo, pool: str) -> None:
    process = zoo.worker(pool=pool, concurrency=1)
    instance = zoo.start("sleeps", seconds=1, key=new_id())
    sleeping(zoo)
    os.kill(process.pid, signal.SIGTERM)
    code, seconds = exit_of(process, 20)
    assert (code, seconds < 10) == (0, True), zoo.stack.logs()
    assert ended(zoo, instance)["output"] == {"count": 1}
    assert last_worker(zoo)[:2] == (True, 0)


@each_pool
def test_sigterm_releases_a_long_step_within_the_grace(zoo: Zoo, pool: str) -> None:
    process = zoo.worker(pool=pool, concurrency=1, env={"ORCHESTRATOR_SHUTDOWN_GRACE": 1})
    instance = zoo.start("sleeps", seconds=30, again=0, key=new_id())
    sleeping(zoo)
    os.kill(process.pid, signal.SIGTERM)
    _, seconds = exit_of(process, 20)
    assert seconds < 15, zoo.stack.logs()  # the step would run for twice as long
    zoo.worker("worker2", pool=pool, concurrency=1)
    assert ended(zoo, instance, 30)["output"] == {"count": 2}


@pytest.mark.slow
def test_an_ordinary_task_is_waited_for(zoo: Zoo) -> None:
    """The grace period is for steps; the worker waits for other tasks as Celery does."""
    process = zoo.worker(concurrency=1, env={"ORCHESTRATOR_SHUTDOWN_GRACE": 0.5})
    zoo.seen_in_redis.delete("zoo")
    with Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app:
        app.send_task("zoo.sleeps", kwargs={"seconds": 2.5, "key": new_id()})
    sleeping(zoo)
    os.kill(process.pid, signal.SIGTERM)
    code, seconds = exit_of(process, 20)
    assert code == 0
    assert seconds > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_comes_in_the_middle_takes_work(zoo: Zoo, pool: str) -> None:
    """Within 5 seconds of its start by the database's clock; all messages were sent before."""
    zoo.worker(pool=pool, concurrency=1)
    key = new_id()
    instances = [zoo.start("sleeps", seconds=1, key=f"{key}-{n}") for n in range(30)]
    zoo.worker("worker2", pool=pool, concurrency=4)
    claimed_soon = (
        "select count(*) from orchestrator.attempts a"
        " join orchestrator.workers w on w.id = a.worker"
        " where w.name = 'worker2@test' and a.claimed_at - w.started_at < interval '5 s'"
        " and a.instance_id = any(%s::uuid[])"
    )
    zoo.stack.until(lambda: zoo.stack.sql(claimed_soon, instances)[0][0] > 0, "it claims in 5 s")
    for instance in instances:
        assert ended(zoo, instance, 60)["output"] == {"count": 1}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_busy_worker_leaves_messages_to_others(zoo: Zoo, pool: str) -> None:
    """With Celery's default prefetch multiplier, 4."""
    zoo.worker(pool=pool, concurrency=1, env={"ZOO_PREFETCH": 4})
    zoo.seen_in_redis.delete("zoo")
    key = new_id()
    with (
        Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app,
        redis.Redis.from_url(zoo.stack.broker_url) as broker,
    ):
        broker.delete("celery")  # what the tests before have left
        for _ in range(6):
            app.send_task("zoo.waits", args=(key,))
        zoo.stack.until(lambda: len(zoo.seen("waiting")) == 1, "one runs")
        # The answer shows that the event loop has turned since.
        assert app.control.inspect(timeout=30, limit=1).ping()
        assert broker.llen("celery") == 5
        for _ in range(6):
            zoo.let_go(key)
        zoo.stack.until(lambda: len(zoo.seen("waiting")) == 6, "all run")
        assert broker.llen("celery") == 0


# -- what is refused -------------------------------------------------------------


@pytest.mark.slow
def test_only_steps_run_where_only_steps_may(zoo: Zoo) -> None:
    zoo.worker(concurrency=1, env={"ORCHESTRATOR_STEPS_ONLY": 1, "ORCHESTRATOR_LEESE": 1})
    with Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app:
        app.send_task("zoo.note", args=(1,))
    assert zoo.output("plain", a=1) == {"sum": 3}
    assert zoo.seen("note") == []
    # In the format of the users' own logging, our lines are whole.
    log = (zoo.stack.folder / "worker.log").read_text()
    assert "ORCHESTRATOR_LEESE is no setting, did you mean ORCHESTRATOR_LEASE?" in log
    # It consumes companion queues only: the ordinary message waits for another worker.
    zoo.worker("worker2", concurrency=1)
    zoo.stack.until(lambda: bool(zoo.seen("note")), "an ordinary worker runs it")


@pytest.mark.slow
def test_an_app_of_pickles(zoo: Zoo) -> None:
    """Its own messages stay pickled; messages of steps are JSON."""
    zoo.worker(concurrency=1, env={"ZOO_SERIALIZER": "pickle", "C_FORCE_ROOT": "1"})
    output = zoo.run_all([("plain", {"a": 1}), ("delays", {"a": 2})])["output"]
    zoo.stack.until(lambda: bool(zoo.seen("note")), "the inner task ran")
    assert output["children"] == [output["inner"]]


def test_copies_of_a_message_change_nothing(zoo: Zoo) -> None:
    zoo.worker(concurrency=2)
    ended_first = zoo.run("plain", a=1)
    rows = zoo.stack.sql(
        "select id::text, step from orchestrator.attempts where instance_id = %s",
        ended_first["id"],
    )
    with Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app:
        for attempt, step in rows * 10:
            header = {"instance": ended_first["id"], "step": step, "v": 1}
            app.send_task("zoo.plain", task_id=attempt, headers={"orchestrator": header})
    zoo.run("plain", a=2)
    log = zoo.stack.folder / "worker.log"
    zoo.stack.until(
        lambda: log.read_text().count("message was dropped") >= 10, "ten messages are refused"
    )
    ((history, attempts),) = zoo.stack.sql(
        "select (select count(*) from orchestrator.history where instance_id = i.id),"
        " (select count(*) from orchestrator.attempts where instance_id = i.id)"
        " from orchestrator.instances i where id = %s",
        ended_first["id"],
    )
    assert (history, attempts) == (2, 1)


# -- our own worker ------------------------------------------------------------


@pytest.mark.slow
def test_our_worker_imports_tasks_and_is_healthy(zoo: Zoo) -> None:
    zoo.stack.worker(
        app="orchestrator.execution.entry_points.worker_and_beat_app",
        concurrency=1,
        arguments=("-n", "worker@%h"),
        env={**zoo.environment, "ORCHESTRATOR_IMPORTS": "tests.celery_apps.every_task_kind.tasks"},
    )
    assert zoo.output("calling", a=1) == {"wrapped": 1}
    with Celery("operator", broker=zoo.stack.broker_url, set_as_current=False) as app:
        app.control.shutdown()
        app.control.cancel_consumer("celery")
        stats: dict[str, Any] = {}

        def has_answered() -> bool:
            with suppress(redis.ConnectionError):  # that the server has closed meanwhile
                stats.update(app.control.inspect(timeout=10).stats() or {})
            return len(stats) == 1

        zoo.stack.until(has_answered, "it answers what Flower asks")
        assert next(iter(stats.values()))["orchestrator"]["claimed"] >= 0
    assert zoo.output("calling", a=2) == {"wrapped": 2}, "and executes no command"
    probe = [sys.executable, "-m", "orchestrator.execution.entry_points.health_check"]
    environment = zoo.stack.environment()
    assert subprocess.run(probe, env=environment, timeout=30).returncode == 0
    nowhere = {**environment, "ORCHESTRATOR_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    assert subprocess.run(probe, env=nowhere, timeout=30).returncode == 0


# -- what else goes on ------------------------------------------------------------


@pytest.mark.slow
def test_a_revoked_step_faults_at_once(zoo: Zoo) -> None:
    zoo.worker("worker-control", queues="orchestrator", concurrency=1)
    no_control = {"ORCHESTRATOR_SERVE_CONTROL": 0}
    zoo.worker(concurrency=1, queues="celery", env=no_control)
    blocker = zoo.start("sleeps", seconds=3, key=new_id())
    sleeping(zoo)
    waiting = zoo.start("plain", a=1)
    attempts: list[str] = []

    def is_ready() -> bool:
        rows = zoo.stack.sql(
            "select id::text from orchestrator.attempts where instance_id = %s", waiting
        )
        attempts[:] = [row[0] for row in rows]
        return bool(rows)

    zoo.stack.until(is_ready, "the step is ready")
    with Celery("sender", broker=zoo.stack.broker_url, set_as_current=False) as app:
        app.control.revoke(attempts[0])
    assert ended(zoo, waiting)["error"]["title"] == "TaskRevokedError"
    assert ended(zoo, blocker)["status"] == "completed"


@pytest.mark.slow
def test_progress_is_shown(zoo: Zoo) -> None:
    zoo.worker(concurrency=1)
    done = zoo.run("reports", key=1)
    assert done["output"] == {"wanted": True, "key": f"{done['id']}:1", "reference": "/do/0/s0"}
    assert zoo.stack.sql(
        "select progress from orchestrator.attempts where instance_id = %s", done["id"]
    ) == [({"percent": 50},)]


@pytest.mark.slow
def test_continued_steps_have_events(zoo: Zoo) -> None:
    zoo.worker(concurrency=1, arguments=("-E",))
    events: list[dict[str, Any]] = []
    app = Celery("watcher", broker=zoo.stack.broker_url, set_as_current=False)
    with app, app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": events.append})
        with receiver.consumer_context() as (reading, _, _):  # bound before anything is sent
            with suppress(TimeoutError):
                reading.drain_events(timeout=0.2)  # kombu subscribes when it first reads
            done = zoo.run_all([("plain", {"a": n}) for n in range(3)])
            rows = zoo.stack.sql(
                "select id::text from orchestrator.attempts where instance_id = %s",
                done["id"],
            )
            kinds = {"task-received", "task-started", "task-succeeded"}

            def complete() -> bool:
                with suppress(TimeoutError):
                    reading.drain_events(timeout=0.2)
                return all(
                    {e["type"] for e in events if e.get("uuid") == id} >= kinds for (id,) in rows
                )

            zoo.stack.until(complete, "every step has its three events")


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_stalled_worker_reconnects_then_exits(zoo: Zoo, tmp_path: Path, pool: str) -> None:
    stalled = tmp_path / "stalled"
    env = {"ZOO_STALLED": stalled, "ORCHESTRATOR_LEASE": 1}
    process = zoo.worker(pool=pool, concurrency=1, env=env)
    assert zoo.output("plain", a=1) == {"sum": 3}
    zoo.worker("worker-control", queues="orchestrator", concurrency=1)
    stalled.touch()
    zoo.start("plain", a=2)
    code, _ = exit_of(process, 30)
    assert code == 75, zoo.stack.logs()
    log = (zoo.stack.folder / "worker.log").read_text()
    assert "No messages arrive; reconnecting" in log
    assert "Connection to broker lost" in log


@pytest.mark.slow
def test_an_outage_of_the_database_expires_nothing(
    zoo: Zoo, request: pytest.FixtureRequest
) -> None:
    postgres: Postgres = request.getfixturevalue("postgres")
    zoo.worker(concurrency=1, env={"ORCHESTRATOR_LEASE": 1})
    instance = zoo.start("sleeps", seconds=3, key=new_id())
    sleeping(zoo)
    postgres.kill()
    time.sleep(2)  # longer than the lease: the length of the outage is what is tested
    postgres.start()
    zoo.stack._postgres = None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = zoo.stack.client.get(f"/v1/instances/{instance}")
        if answer.status_code == 200 and answer.json()["status"] == "completed":
            break
        time.sleep(0.1)
    assert answer.json()["output"] == {"count": 1}, zoo.stack.logs()
    log = (zoo.stack.folder / "worker.log").read_text().splitlines()
    began = [line for line in log if "Postgres is unavailable" in line]
    # One line a process: the main process and its child.
    assert 1 <= len(began) <= 2, began
    assert all("action=outage_began" in line and str(postgres.port) in line for line in began)
    over = [line for line in log if "Postgres is available again" in line]
    assert len(over) == len(began), log


def test_a_message_that_is_no_json_runs_nothing(zoo: Zoo) -> None:
    zoo.worker(concurrency=1)
    with Connection(zoo.stack.broker_url) as connection:
        producer = connection.Producer()
        producer.publish(
            b"not pickle",
            routing_key="celery",
            content_type="application/x-python-serialize",
            content_encoding="binary",
            headers={"task": "zoo.plain", "id": new_id(), "orchestrator": {}, "lang": "py"},
        )
    assert zoo.output("plain", a=1) == {"sum": 3}
