"""Which worker runs a step, and when: Celery's routes choose queues, urgent steps run first, and
a worker without the step's task leaves it to another worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from orchestrator.ids import new_id
from tests.support.zoo import Zoo, zoo_on

#: For a worker that does not consume the control queue.
STEPS_ONLY = {"ORCHESTRATOR_SERVE_CONTROL": 0}


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, module_broker_url: str
) -> Iterator[Zoo]:
    """API and beat on Valkey, for all tests of this module."""
    folder = tmp_path_factory.mktemp("routing")
    settings: dict[str, Any] = {"lease": 2, "republish_after": 1}
    with zoo_on(folder, module_database_url, module_broker_url, **settings) as zoo:
        yield zoo


@pytest.fixture
def zoo(shared: Zoo) -> Iterator[Zoo]:
    """The product without a worker; the workers of a test end with it."""
    yield shared
    shared.end_workers()


def start(zoo: Zoo, task: str, arguments: dict[str, Any], **more: Any) -> str:
    """Start a workflow of one call with these further members; return the instance's id."""
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    do = [{"s": {"call": f"zoo.{task}", "with": arguments, **more}}]
    return zoo.stack.start(zoo.stack.deploy({"document": head, "do": do}))


def published(zoo: Zoo, instance: str) -> int:
    """Return how often the message of the instance's only attempt was sent."""
    rows = zoo.stack.sql(
        "select publish_count from orchestrator.attempts where instance_id = %s", instance
    )
    return rows[0][0] if rows else 0


def refused(zoo: Zoo, instance: str) -> bool:
    """Return whether a worker has refused the message."""
    return zoo.stack.sql(
        "select refused_at is not null from orchestrator.attempts where instance_id = %s", instance
    ) == [(True,)]


def causes(zoo: Zoo, instance: str) -> set[str]:
    """Return the kinds of the causes in the answer of `why`."""
    answer = zoo.stack.client.get(f"/v1/instances/{instance}/why")
    assert answer.status_code == 200, answer.text
    return {cause["kind"] for cause in answer.json()["causes"]}


def log_says(zoo: Zoo, worker: str, text: str) -> bool:
    return text in (zoo.stack.folder / f"{worker}.log").read_text()


# -- routes ------------------------------------------------------------


@pytest.mark.slow
def test_routes_of_the_users_app_decide_unless_the_document_does(zoo: Zoo) -> None:
    routes = {"zoo.pl*": {"queue": "elsewhere"}}
    env = {"ZOO_ROUTES": json.dumps(routes)}
    zoo.worker("worker-here", queues="celery,orchestrator", concurrency=1, env=env)
    zoo.worker("worker-there", queues="elsewhere", concurrency=1, env={**env, **STEPS_ONLY})
    calls = {
        start(zoo, "plain", {"a": 1}): ("elsewhere", "worker-there@test"),
        start(zoo, "number", {"a": 1}): ("celery", "worker-here@test"),
        start(zoo, "plain", {"a": 1}, metadata={"queue": "celery"}): ("celery", "worker-here@test"),
    }
    for instance, expected in calls.items():
        assert zoo.stack.wait(instance)["status"] == "completed"
        assert zoo.stack.sql(
            "select a.queue, w.name from orchestrator.attempts a"
            " join orchestrator.workers w on w.id = a.worker where a.instance_id = %s",
            instance,
        ) == [expected]


# -- priorities ------------------------------------------------------------


def at_broker(zoo: Zoo) -> int:
    """Return the number of steps' messages of the queue `celery`, of all priorities."""
    with Connection(zoo.stack.broker_url) as connection:
        channel: Any = connection.channel()
        return int(channel.queue_declare("celery.orchestrator", passive=True).message_count)


def order_of(zoo: Zoo, priorities: list[int | None], **env: Any) -> list[int | None]:
    """Send steps of these priorities behind a running one; return the priorities in the order in
    which one slot runs the steps."""
    zoo.worker("worker-control", queues="orchestrator", concurrency=1, env=env)
    zoo.worker("worker-steps", queues="celery", concurrency=1, env={**env, **STEPS_ONLY})
    key = new_id()
    started = [start(zoo, "waits", {"key": key})]
    zoo.stack.until(lambda: bool(zoo.seen("waiting")), "the slot is busy")
    for priority in priorities:
        metadata = {} if priority is None else {"priority": priority}
        instance = start(zoo, "note", {"a": priority}, metadata=metadata)
        zoo.stack.until(lambda id=instance: published(zoo, id) > 0, "it is sent")  # type: ignore[misc]
        started.append(instance)
    prefetched = 0 if zoo.stack.broker_url.startswith("redis") else 1
    zoo.stack.until(
        lambda: at_broker(zoo) >= len(priorities) - prefetched, "they are at the broker"
    )
    zoo.let_go(key)
    for instance in started:
        assert zoo.stack.wait(instance)["status"] == "completed"
    return [note["a"] for note in zoo.seen("note")]


@pytest.mark.slow
def test_urgent_steps_run_first(zoo: Zoo) -> None:
    """In Celery's four levels: 9 to 7 (and no priority), 6 to 4, 3 to 1, 0."""
    zoo.seen_in_redis.delete("zoo")
    order = order_of(zoo, [0, 1, 4, None, 3, 7, 6, 9])
    assert order == [None, 7, 9, 4, 6, 1, 3, 0]


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_urgent_steps_run_first_on_rabbitmq(
    tmp_path: Path, database_url: str, rabbitmq_url: str, broker_url: str
) -> None:
    """In a classic queue with priorities. The worker prefetches the first message; a step without
    a priority is as urgent as 0."""
    settings: dict[str, Any] = {"lease": 30, "republish_after": 60}
    with zoo_on(tmp_path, database_url, rabbitmq_url, broker_url, **settings) as zoo:
        order = order_of(zoo, [1, 0, 4, None, 3, 7, 6, 9], ZOO_MAX_PRIORITY="9")
    assert order == [1, 9, 7, 6, 4, 3, 0, None]


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "arrives"), [(9, 0), (6, 3), (None, 0)])
def test_a_step_that_is_continued_has_the_priority_of_a_message(
    zoo: Zoo, asked: int | None, arrives: int
) -> None:
    zoo.seen_in_redis.delete("zoo")
    zoo.worker("worker-all", concurrency=1)
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    call: dict[str, Any] = {"call": "zoo.note", "with": {"a": 1}}
    if asked is not None:
        call["metadata"] = {"priority": asked}
    do = [{"w": {"wait": {"milliseconds": 1}}}, {"x": call}, {"y": call}]
    instance = zoo.stack.start(zoo.stack.deploy({"document": head, "do": do}))
    assert zoo.stack.wait(instance)["status"] == "completed"
    assert [note["priority"] for note in zoo.seen("note")] == [arrives, arrives]


# -- what one worker leaves to another -----------------------------------------------------


@pytest.mark.slow
def test_threads_leave_a_step_that_needs_a_limit_to_processes(zoo: Zoo) -> None:
    zoo.worker("worker-threads", pool="threads", concurrency=1)
    limit = {"after": {"minutes": 10}}
    instance = start(zoo, "plain", {"a": 1}, timeout=limit)
    dropped = "A step's message was dropped"
    zoo.stack.until(lambda: log_says(zoo, "worker-threads", dropped), "it is refused")
    zoo.stack.until(lambda: causes(zoo, instance) == {"no-processes"}, "`why` says so")
    # The threads keep refusing messages; the wait before each new message doubles.
    zoo.worker("worker-processes", concurrency=1)
    assert zoo.stack.wait(instance)["output"] == {"sum": 3}
    assert zoo.attempts(instance) == [("succeeded", 1)]
    assert zoo.stack.sql(
        "select w.name from orchestrator.attempts a join orchestrator.workers w on w.id = a.worker"
        " where a.instance_id = %s",
        instance,
    ) == [("worker-processes@test",)]
    assert log_says(
        zoo, "beat", "Messages that a worker refused were sent again for another worker"
    )


@pytest.mark.slow
def test_a_task_that_a_worker_does_not_have_is_left_to_one_that_has_it(zoo: Zoo) -> None:
    zoo.stack.worker("worker-other", concurrency=1)  # an app without the zoo's tasks
    instance = start(zoo, "plain", {"a": 1})
    zoo.stack.until(
        lambda: log_says(zoo, "worker-other", "This worker does not have a step's task"), "left"
    )
    zoo.stack.until(lambda: refused(zoo, instance), "its message is recorded as refused")
    # The workers of earlier tests count as live for one lease.
    zoo.stack.until(lambda: causes(zoo, instance) == {"no-task"}, "`why` says so")
    zoo.stack.until(lambda: published(zoo, instance) > 1, "it is sent again")
    zoo.worker("worker-able", concurrency=1)
    assert zoo.stack.wait(instance)["output"] == {"sum": 3}
    assert zoo.attempts(instance) == [("succeeded", 1)]
