"""Announcements of routes: which one holds, and steps that are routed anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.database.connection.database import Database
from orchestrator.database.workers import announced_routes, route_queries, worker_queries
from orchestrator.database.workers.announced_routes import AnnouncedRoutes
from orchestrator.database.workers.route_queries import TaskRoute
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.ids import new_id
from tests.support.zoo import Zoo, zoo_on

LEASE = 10.0


def announce(database: Database, task: str, queue: str | None, warning: str | None = None) -> None:
    route_queries.announce(database, [TaskRoute(task, queue, warning)], {})


def worker(database: Database, queues: list[str], *tasks: str) -> str:
    """Register a live worker; return its id."""
    row = WorkerRow(new_id(), f"w{new_id()}", 7, "prefork", 1, queues, tasks)
    worker_queries.register(database, row)
    return row.id


def chosen(database: Database) -> dict[str, str]:
    return route_queries.routes(database, LEASE)[0]


def test_the_newest_announcement_holds_whose_queue_is_served(database: Database) -> None:
    announce(database, "shop.pay", "old")
    assert chosen(database) == {"shop.pay": "old"}
    announce(database, "shop.pay", "new")
    assert chosen(database) == {"shop.pay": "new"}, "no worker serves either: the newest"
    first = worker(database, ["old"], "shop.pay")
    worker(database, ["new"], "shop.other")
    assert chosen(database) == {"shop.pay": "old"}, "a worker that has the task serves it"
    assert route_queries.differing_routes(database, LEASE) == [("shop.pay", ["new", "old"], "old")]
    worker(database, ["new"], "shop.pay")
    assert chosen(database) == {"shop.pay": "new"}, "both are served: the newest"
    announce(database, "shop.pay", "old")
    assert chosen(database) == {"shop.pay": "old"}, "a rollback announces again"
    worker_queries.stop(database, first)
    assert chosen(database) == {"shop.pay": "new"}


def test_a_task_without_a_queue_goes_to_the_default_one(database: Database) -> None:
    announce(database, "shop.pay", None, "its router raises KeyError")
    routes = AnnouncedRoutes(database, LEASE, "celery")
    routes.refresh()
    assert routes.queue_of("shop.pay") == routes.queue_of("shop.unknown") == "celery"
    assert route_queries.warnings(database, LEASE) == [("shop.pay", "its router raises KeyError")]


def test_a_process_reads_them_once_in_five_seconds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(announced_routes, "monotonic", lambda: now)
    routes = AnnouncedRoutes(database, LEASE, "celery")
    routes.refresh()
    announce(database, "shop.pay", "money")
    now += 4.9
    routes.refresh()
    assert routes.queue_of("shop.pay") == "celery"
    now += 0.2
    routes.refresh()
    assert routes.queue_of("shop.pay") == "money"


def test_what_a_deployment_is_warned_of(database: Database) -> None:
    announce(database, "shop.pay", "money")
    announce(database, "shop.cut", "studio", "its router reads arguments")
    worker(database, ["money", "studio"], "shop.pay", "shop.cut")
    problem = route_queries.served(database, LEASE, "celery").problem
    assert problem("shop.pay", None) is None
    assert problem("shop.pay", "money") is None
    assert "serves the queue typo; they serve money, studio" in (problem("shop.pay", "typo") or "")
    assert "uncertain: its router reads arguments" in (problem("shop.cut", None) or "")
    assert problem("shop.cut", "studio") is None, "the document names it"
    assert problem("shop.unknown", "anything") is None, "another warning says that"


def test_contradicted_announcements_are_removed_later(database: Database) -> None:
    announce(database, "shop.pay", "old")
    database.all("update orchestrator.task_routes set announced_at = now() - interval '8 days'")
    route_queries.purge(database)
    assert chosen(database) == {"shop.pay": "old"}, "it is the only one"
    announce(database, "shop.pay", "new")
    route_queries.purge(database)
    assert database.all("select queue from orchestrator.task_routes") == [("new",)]


# -- the whole product ------------------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Zoo]:
    settings: dict[str, Any] = {"lease": 2, "republish_after": 1, "serve_control": 0}
    with zoo_on(tmp_path, database_url, broker_url, **settings) as zoo:
        zoo.stack.worker(
            "worker-control",
            "orchestrator.execution.entry_points.worker_and_beat_app",
            queues="orchestrator",
            concurrency=1,
        )
        yield zoo


def routed(queue: str) -> dict[str, Any]:
    return {"ZOO_ROUTES": json.dumps({"zoo.*": {"queue": queue}})}


def queue_of(zoo: Zoo, instance: str) -> list[tuple[str]]:
    return zoo.stack.sql("select queue from orchestrator.attempts where instance_id = %s", instance)


def published(zoo: Zoo, instance: str) -> bool:
    sql = "select count(*) from orchestrator.attempts where instance_id = %s and publish_count > 0"
    return zoo.stack.sql(sql, instance) == [(1,)]


def start(zoo: Zoo, **more: Any) -> str:
    head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
    do = [{"s": {"call": "zoo.plain", "with": {"a": 1}, **more}}]
    return zoo.stack.start(zoo.stack.deploy({"document": head, "do": do}))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_control_workers_without_the_users_app_route_as_it_does(zoo: Zoo) -> None:
    zoo.worker("worker-money", queues="money", concurrency=1, env=routed("money"))
    instances = [start(zoo) for _ in range(5)]
    for instance in instances:
        assert zoo.stack.wait(instance)["output"] == {"sum": 3}
        assert queue_of(zoo, instance) == [("money",)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_step_whose_queue_lost_its_workers_is_routed_anew(zoo: Zoo) -> None:
    old = zoo.worker("worker-old", queues="old", concurrency=1, env=routed("old"))
    assert zoo.stack.wait(start(zoo))["status"] == "completed"
    old.stop()
    waiting, named = start(zoo), start(zoo, metadata={"queue": "old"})
    zoo.stack.until(lambda: published(zoo, waiting) and published(zoo, named), "both wait")
    assert queue_of(zoo, waiting) == queue_of(zoo, named) == [("old",)]
    zoo.worker("worker-new", queues="new", concurrency=1, env=routed("new"))
    assert zoo.stack.wait(waiting)["output"] == {"sum": 3}
    assert queue_of(zoo, waiting) == [("new",)]
    assert queue_of(zoo, named) == [("old",)], "the document has named it"
    answer = zoo.stack.client.get(f"/v1/instances/{named}/why").json()
    (cause,) = answer["causes"]
    assert cause["kind"] == "no-worker"
    assert "workers that have zoo.plain serve new" in cause["message"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_apps_that_name_their_lists_otherwise(zoo: Zoo) -> None:
    """API, beat and control worker follow the options that the users' workers have announced."""
    zoo.end_workers()
    options = {"global_keyprefix": "shop:", "priority_steps": list(range(10)), "sep": ":"}
    env = {"ZOO_TRANSPORT": json.dumps(options)}
    zoo.worker("worker-shop", queues="celery", concurrency=1, env=env)
    zoo.stack.worker(
        "worker-control2",
        "orchestrator.execution.entry_points.worker_and_beat_app",
        queues="orchestrator",
        concurrency=1,
    )
    first = start(zoo)
    assert zoo.stack.wait(first)["output"] == {"sum": 3}
    second = start(zoo, metadata={"priority": 3})
    assert zoo.stack.wait(second)["output"] == {"sum": 3}
    with redis.Redis.from_url(zoo.stack.broker_url) as broker:
        named = {key.decode() for key in broker.keys("*") if not key.startswith(b"shop:")}
    assert not [key for key in named if "celery.orchestrator" in key]
