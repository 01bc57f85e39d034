"""A running product whose workers have the zoo's tasks (tests/celery_apps/every_task_kind)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis

from orchestrator.embedded.supervisor import Process
from orchestrator.ids import new_id
from tests.support.stack import Stack

APP = "tests.celery_apps.every_task_kind.app"


class Zoo:
    """The product, and functions that start workers and workflows of the zoo's app."""

    def __init__(self, stack: Stack, seen: redis.Redis, environment: dict[str, str]) -> None:
        self.stack, self.seen_in_redis, self.environment = stack, seen, environment
        self.pool = ""

    def worker(self, name: str = "worker", **options: Any) -> Process:
        """Start a worker of the zoo's app."""
        more = {**self.environment, **options.pop("env", {})}
        # Celery's search for other workers costs one second per start.
        arguments = ("--without-mingle", *options.pop("arguments", ()))
        return self.stack.worker(name, app=APP, env=more, arguments=arguments, **options)

    def end_workers(self) -> None:
        """Kill all running workers."""
        for name, process in list(self.stack.supervisor.processes.items()):
            if name.startswith("worker"):
                process.kill()

    def run(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Run a workflow of one step; return the ended instance."""
        return self.run_all([(task, arguments)])

    def run_all(self, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """Run a workflow of several steps; return the ended instance."""
        return self.stack.wait(self.start_all(calls), timeout=40)

    def start(self, task: str, **arguments: Any) -> str:
        """Start a workflow of one step; return the instance's id."""
        return self.start_all([(task, arguments)])

    def start_all(self, calls: list[tuple[str, dict[str, Any]]]) -> str:
        """Start a workflow of several steps; return the instance's id."""
        self.seen_in_redis.delete("zoo")
        head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
        do = [
            {f"s{n}": {"call": f"zoo.{task}", "with": arguments}}
            for n, (task, arguments) in enumerate(calls)
        ]
        return self.stack.start(self.stack.deploy({"document": head, "do": do}))

    def output(self, task: str, **arguments: Any) -> Any:
        """Run a workflow of one step, which must complete; return its output."""
        ended = self.run(task, **arguments)
        assert ended["status"] == "completed", (ended["error"], self.stack.logs())
        return ended["output"]

    def error(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Run a workflow of one step, which must fault; return its error."""
        ended = self.run(task, **arguments)
        assert ended["status"] == "faulted", ended
        error: dict[str, Any] = ended["error"]
        return error

    def seen(self, *what: str) -> list[dict[str, Any]]:
        """Return the tasks' records since the last start, of these events or of all."""
        records = [json.loads(line) for line in self.seen_in_redis.lrange("zoo", 0, -1)]
        return [record for record in records if not what or record["what"] in what]

    def let_go(self, key: str) -> None:
        """Let the `waits` task with this key continue."""
        self.seen_in_redis.rpush(f"zoo:{key}", "go")

    def attempts(self, instance: str) -> list[tuple[str, int]]:
        """Return state and number of each attempt of the instance."""
        return self.stack.sql(
            "select state, number from orchestrator.attempts where instance_id = %s order by id",
            instance,
        )


@contextmanager
def zoo_on(
    folder: Path, database_url: str, broker_url: str, redis_url: str | None = None, **settings: Any
) -> Iterator[Zoo]:
    """Start API and beat on these servers; the test starts the workers.

    `redis_url`: the server of the tasks' records and result backend; by default the broker."""
    outside = urlunsplit(urlsplit(redis_url or broker_url)._replace(path="/7"))
    environment = {"ZOO_REDIS_URL": outside, "ZOO_SIGNALS": "1"}
    with Stack(folder, database_url, broker_url, **settings) as stack:
        stack.api()
        stack.beat(app=APP, env=environment)
        with redis.Redis.from_url(outside) as seen:
            yield Zoo(stack, seen, environment)
