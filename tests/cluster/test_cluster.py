"""What happens to workers and brokers, through pytest-celery's fixtures: kill -9, restarts,
and what the logs say of them. The same tests run on processes and on Docker (see conftest).
"""

from __future__ import annotations

from typing import Any

import pytest
from celery.result import AsyncResult
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from orchestrator.ids import new_id
from tests.support.zoo import Zoo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def running_on(zoo: Zoo, setup: CeleryTestSetup, instance: str) -> tuple[CeleryTestWorker, int]:
    """The worker that runs the instance's step, and the process there."""
    rows: list[Any] = []

    def claimed() -> bool:
        rows[:] = zoo.stack.sql(
            "select w.name, a.process from orchestrator.attempts a"
            " join orchestrator.workers w on w.id = a.worker"
            " where a.instance_id = %s and a.state = 'claimed'",
            instance,
        )
        return bool(rows) and bool(zoo.seen("sleeping"))

    zoo.stack.until(claimed, "the step runs")
    workers: Any = setup.worker_cluster
    (worker,) = [node for node in workers if node.hostname() == rows[0][0]]
    return worker, rows[0][1]


def attempts(zoo: Zoo, instance: str) -> list[str]:
    return [state for state, _ in zoo.attempts(instance)]


def output(zoo: Zoo, instance: str) -> Any:
    ended = zoo.stack.wait(instance, timeout=120)
    assert ended["status"] == "completed", (ended["error"], zoo.stack.logs())
    return ended["output"]


def test_a_cluster_runs_steps_and_ordinary_tasks(celery_setup: CeleryTestSetup, zoo: Zoo) -> None:
    assert celery_setup.ready(control=True, docker=True)
    assert len(celery_setup) == 4
    assert zoo.output("plain", a=1) == {"sum": 3}
    sent: AsyncResult[Any] = celery_setup.app.send_task("zoo.keeps_result", kwargs={"a": 5})
    assert sent.get(timeout=60) == {"a": 5, "id": sent.id}


def test_kill_9_of_a_worker(celery_setup: CeleryTestSetup, zoo: Zoo) -> None:
    """Its step starts again on the other one; it comes back, and works."""
    instance = zoo.start("sleeps", seconds=120, again=0, key=new_id())
    worker, _ = running_on(zoo, celery_setup, instance)
    worker.kill()
    assert worker.container.status == "exited"
    assert output(zoo, instance) == {"count": 2}
    assert attempts(zoo, instance) == ["lost", "succeeded"]
    worker.restart()
    incarnations = "select count(*) from orchestrator.workers where name = %s"
    zoo.stack.until(
        lambda: zoo.stack.sql(incarnations, worker.hostname()) == [(2,)], "it is known anew"
    )
    assert zoo.output("plain", a=1) == {"sum": 3}


def test_kill_9_of_a_child(celery_setup: CeleryTestSetup, zoo: Zoo) -> None:
    """Noticed by its worker at once, which says so, and goes on."""
    instance = zoo.start("sleeps", seconds=120, again=0, key=new_id())
    worker, pid = running_on(zoo, celery_setup, instance)
    code, told = worker.container.exec_run(["python3", "-c", f"import os; os.kill({pid}, 9)"])
    assert code == 0, told
    assert output(zoo, instance) == {"count": 2}
    worker.assert_log_exists("A process of the pool has exited")
    assert worker.container.status == "running"


def test_a_rolling_restart_runs_nothing_twice(celery_setup: CeleryTestSetup, zoo: Zoo) -> None:
    """One worker after the other, under steps that are shorter than the grace."""
    workers: Any = celery_setup.worker_cluster
    instances = [zoo.start("sleeps", seconds=1, key=new_id()) for _ in range(12)]
    for worker in workers:
        running_anywhere(zoo)
        worker.restart()
        worker.wait_for_log("Warm shutdown")
    assert [output(zoo, instance) for instance in instances] == [{"count": 1}] * 12
    assert {tuple(attempts(zoo, instance)) for instance in instances} == {("succeeded",)}


def running_anywhere(zoo: Zoo) -> None:
    running = "select count(*) > 0 from orchestrator.attempts where state = 'claimed'"
    done = "select count(*) > 11 from orchestrator.instances where ended_at is not null"
    zoo.stack.until(
        lambda: zoo.stack.sql(running) == [(True,)] or zoo.stack.sql(done) == [(True,)],
        "a step runs",
    )


def test_kill_9_of_the_broker(celery_setup: CeleryTestSetup, zoo: Zoo) -> None:
    """What runs goes on; what was sent is sent again once a broker is there."""
    broker: Any = celery_setup.broker
    instance = zoo.start("sleeps", seconds=2, key=new_id())
    running_on(zoo, celery_setup, instance)
    broker.kill()
    assert broker.container.status == "exited"
    waiting = zoo.start("plain", a=1)
    assert output(zoo, instance) == {"count": 1}
    broker.restart()
    assert output(zoo, waiting) == {"sum": 3}
    for worker in celery_setup.worker_cluster or ():
        worker.assert_log_exists("Connection to broker lost")
