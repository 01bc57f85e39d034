"""The same loads through the public API, each instance durable; ends are read in Postgres."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2

from tests.benchmarks import documents
from tests.benchmarks.client import Connection


@dataclass(frozen=True)
class Orchestrator:
    """The product under load: its API, and Postgres to see what is committed."""

    api: Connection
    postgres: Any

    @classmethod
    def at(cls, api_url: str, database_url: str) -> Orchestrator:
        """Connect to a running stack."""
        connection = psycopg2.connect(database_url)
        connection.autocommit = True
        return cls(Connection(api_url), connection)

    def deploy(self, document: dict[str, Any]) -> dict[str, Any]:
        """Make a workflow known; returns what starts it."""
        self.api.post("/v1/workflows", document)
        head = document["document"]
        return {"workflow": {"namespace": head["namespace"], "name": head["name"]}}

    def start(self, body: Any) -> list[str]:
        """Start one instance, or a batch; returns the ids."""
        told = self.api.post("/v1/instances", body)
        return [one["id"] for one in told] if isinstance(told, list) else [told["id"]]

    def sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement."""
        with self.postgres.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def wait(self, ids: list[str], timeout: float = 300, quiet: float = 0.0) -> None:
        """Until every instance is completed in Postgres; anything else is an error.

        Looking must not load what is measured: it begins after `quiet` seconds, and looks at
        one row by its key each time, at intervals of 3 % of the time that has passed, of a
        millisecond at first.
        """
        began = time.monotonic()
        time.sleep(quiet)
        for id in ids:
            while self._status(id) != "completed":
                passed = time.monotonic() - began
                if passed > timeout:
                    raise AssertionError(f"after {timeout} s {id} is {self._status(id)}")
                time.sleep(min(max(0.03 * passed, 0.001), 0.01))

    def _status(self, id: str) -> str:
        ((status,),) = self.sql("select status from orchestrator.instances where id = %s", id)
        if status in ("faulted", "cancelled"):
            raise AssertionError(f"{id} is {status}")
        return str(status)

    def timed(self, body: Any, timeout: float = 300, quiet: float = 0.0) -> float:
        """Seconds from the request until what it started is completed in Postgres."""
        return elapsed(lambda: self.wait(self.start(body), timeout, quiet))

    def median(self, body: Any, runs: int) -> float:
        """The median of so many runs, in ms. Each is left alone for the first 70 % of what the
        fastest one has taken."""
        times: list[float] = []
        for _ in range(runs):
            times.append(self.timed(body, quiet=0.7 * min(times, default=0.0)))
        return statistics.median(times) * 1000


def elapsed(work: Callable[[], None]) -> float:
    """Seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def w1(product: Orchestrator, runs: int) -> float:
    """One instance of 20 no-op steps in sequence; median in ms."""
    return product.median(product.deploy(documents.sequence(20)), runs)


def w2(product: Orchestrator, instances: int = 200, steps: int = 5) -> float:
    """200 instances of 5 steps in one batch; steps a second."""
    body = product.deploy(documents.sequence(steps))
    return instances * steps / product.timed([body] * instances)


def w3(product: Orchestrator, runs: int, width: int = 200) -> float:
    """A fork of 200 no-op steps and its join; median in ms."""
    return product.median(product.deploy(documents.fork(width)), runs)


def w4(product: Orchestrator, count: int = 300) -> float:
    """Starts a second of workflows of 5 steps, one by one, while the workers run them."""
    body = product.deploy(documents.sequence(5))
    started = time.perf_counter()
    ids = [id for _ in range(count) for id in product.start(body)]
    rate = count / (time.perf_counter() - started)
    product.wait(ids)
    return rate


def w4_batch(product: Orchestrator, count: int = 1000) -> float:
    """Starts a second of workflows of 5 steps, in one batch."""
    body = product.deploy(documents.sequence(5))
    started = time.perf_counter()
    ids = product.start([body] * count)
    rate = count / (time.perf_counter() - started)
    product.wait(ids)
    return rate
