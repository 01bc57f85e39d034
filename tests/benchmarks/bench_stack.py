"""What every load runs on: embedded servers, the product's processes, raw Celery's worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres, Valkey
from orchestrator.embedded.supervisor import Process, log_says
from tests.benchmarks.hidden_extras import plainly
from tests.benchmarks.product_load import Orchestrator
from tests.support.rabbitmq import RabbitMQ
from tests.support.stack import Stack

#: What a worker does without, for both sides.
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
#: The product's command line, as a program of Python's.
COMMAND = ("-m", "orchestrator.cli")


@contextmanager
def until_done(worker: Process) -> Iterator[None]:
    """A worker that ends with the block."""
    try:
        yield
    finally:
        worker.stop()


@dataclass(frozen=True)
class Ground:
    """Running servers, an API and a beat, and the product as a load sees it."""

    stack: Stack
    product: Orchestrator

    @contextmanager
    def workers(self, concurrency: int = 2, env: dict[str, str] | None = None) -> Iterator[None]:
        """Our worker, of two processes unless told."""
        worker = self.stack.worker(
            "ours",
            "tests.celery_apps.bench",
            concurrency=concurrency,
            arguments=QUIET,
            env=env or {},
        )
        with until_done(worker):
            yield

    @contextmanager
    def own_workers(self) -> Iterator[None]:
        """The worker of two processes that the product's command line starts, as it is where
        only the product is installed."""
        worker = self.stack.spawn(
            "worker",
            *(*COMMAND, "worker", "-c", "2", "--loglevel=INFO"),
            env={
                **plainly(),
                "BENCH_BROKER_URL": self.stack.broker_url,
                "ORCHESTRATOR_IMPORTS": "tests.benchmarks.apps.bench_tasks",
            },
            ready=log_says(" ready."),
            tier=3,
        )
        with until_done(worker):
            yield

    @contextmanager
    def raw_workers(self) -> Iterator[None]:
        """A plain Celery worker of two processes."""
        worker = self.stack.spawn(
            "raw",
            *("-m", "celery", "-A", "tests.benchmarks.apps.bench_tasks", "worker"),
            *("-P", "prefork", "-c", "2", "-l", "INFO", "-n", "raw@bench", *QUIET),
            env={"BENCH_BROKER_URL": self.stack.broker_url},
            ready=log_says(" ready."),
            tier=3,
        )
        with until_done(worker):
            yield


@contextmanager
def prepared(broker: str = "valkey", *, own: bool = False) -> Iterator[Ground]:
    """Servers of its own on the disk, with the product's schema, an API and a beat: that of
    the users' app, or, `own`, that of the product's command line, both as they are where only
    the product is installed."""
    folder = Path(tempfile.mkdtemp(prefix="bench"))
    server = RabbitMQ(folder / "broker") if broker == "rabbitmq" else Valkey(folder / "broker")
    with Postgres(folder / "postgres") as postgres, server as running:
        upgrade.upgrade(postgres.url)
        with Stack(folder, postgres.url, running.url, log_level="WARNING") as stack:
            env = plainly() if own else {}
            stack.api(**env)
            if own:
                stack.spawn(
                    "beat",
                    *COMMAND,
                    "beat",
                    "--loglevel=INFO",
                    env=env,
                    ready=log_says("beat: Starting"),
                    tier=1,
                )
            else:
                stack.beat(app="tests.celery_apps.bench")
            yield Ground(stack, Orchestrator.at(stack.settings["api_url"], postgres.url))
