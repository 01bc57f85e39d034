"""The whole product as real processes, for tests: an API, workers, beats on real servers."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx2
import psycopg2

from orchestrator.embedded.supervisor import Process, Supervisor, http_ok, log_says

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """Processes on one database and one broker; the logs are in `folder`."""

    #: The interpreter of the processes.
    python = PYTHON

    def __init__(self, folder: Path, database_url: str, broker_url: str, **settings: Any) -> None:
        self.folder = folder
        self.database_url = database_url
        self.broker_url = broker_url
        self.settings = settings
        self.supervisor = Supervisor()
        self.client = httpx2.Client(timeout=60)
        self._postgres: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process."""
        self.client.close()
        if self._postgres is not None:
            self._postgres.close()
        self.supervisor.stop()

    def environment(self, **more: Any) -> dict[str, str]:
        """What a process of the stack is started with."""
        chosen = {
            "database_url": self.database_url,
            "broker_url": self.broker_url,
            "log_format": "json",
            **self.settings,
        }
        ours = {f"ORCHESTRATOR_{name.upper()}": str(value) for name, value in chosen.items()}
        # Celery reads no broker from its own variable: the app's settings decide.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("CELERY")
        }
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **ours,
            **{name: str(value) for name, value in more.items()},
        }

    def spawn(self, name: str, *argv: str, **options: Any) -> Process:
        """Start `python ARGV...`; its output goes to a file of its name."""
        more = options.pop("env", {})
        # A busy machine takes its time; one that fails to start ends, and is not waited for.
        options.setdefault("timeout", 120)
        return self.supervisor.spawn(
            name,
            [self.python, *argv],
            env=self.environment(STACK_PROCESS=name, **more),
            cwd=self.folder,
            log=self.folder / f"{name}.log",
            **options,
        )

    def api(self, name: str = "api", **env: Any) -> Process:
        """Start the API and wait until it is ready."""
        port = free_port()
        self.client.base_url = httpx2.URL(f"http://127.0.0.1:{port}")
        self.settings["api_url"] = f"http://127.0.0.1:{port}"
        return self.spawn(
            name,
            "-m",
            "orchestrator.cli",
            "api",
            env={"ORCHESTRATOR_API_PORT": port, **env},
            ready=http_ok(f"http://127.0.0.1:{port}/livez"),
            tier=2,
        )

    def worker(
        self,
        name: str = "worker",
        app: str = "tests.celery_apps.steps",
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        queues: str | None = None,
        arguments: tuple[str, ...] = (),
        **options: Any,
    ) -> Process:
        """Start a users' worker (plain ``celery -A app worker``) and wait until it consumes."""
        chosen = ("-Q", queues) if queues else ()
        options.setdefault("ready", log_says(" ready."))
        return self.spawn(
            name,
            "-m",
            "celery",
            "-A",
            app,
            "worker",
            *("-l", "INFO", "-P", pool, "-c", str(concurrency), "-n", f"{name}@test"),
            *chosen,
            *arguments,
            tier=3,
            **options,
        )

    def beat(
        self, name: str = "beat", app: str = "tests.celery_apps.steps", **options: Any
    ) -> Process:
        """Start a beat."""
        options.setdefault("ready", log_says("beat: Starting"))
        return self.spawn(
            name,
            *("-m", "celery", "-A", app, "beat", "-l", "INFO", "-S", "orchestrator"),
            tier=1,
            **options,
        )

    # What a user does

    def deploy(self, document: dict[str, Any]) -> dict[str, Any]:
        """Deploy a workflow; returns the body that starts it."""
        answer = self.client.post("/v1/workflows", json=document)
        assert answer.status_code in (200, 201), answer.text
        head = document["document"]
        return {"workflow": {name: head[name] for name in ("namespace", "name", "version")}}

    def start(self, body: dict[str, Any], **members: Any) -> str:
        """Start an instance; returns its id."""
        answer = self.client.post("/v1/instances", json={**body, **members})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def wait(self, instance: str, timeout: float = 60) -> dict[str, Any]:
        """The instance once it has ended."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer = self.client.get(f"/v1/instances/{instance}", params={"wait": 10})
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            if found["status"] in ("completed", "faulted", "cancelled"):
                return found
        raise AssertionError(f"not ended in {timeout} s: {found}\n{self.logs()}")

    def run(self, document: dict[str, Any], timeout: float = 60, **members: Any) -> dict[str, Any]:
        """Deploy, start, wait."""
        return self.wait(self.start(self.deploy(document), **members), timeout)

    def sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement in the product's database."""
        if self._postgres is None or self._postgres.closed:
            self._postgres = psycopg2.connect(self.database_url)
            self._postgres.autocommit = True
        with self._postgres.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def until(self, fact: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Wait for a fact that only looking can tell."""
        deadline = time.monotonic() + timeout
        while not fact():
            assert time.monotonic() < deadline, f"{what}: not in {timeout} s\n{self.logs()}"
            time.sleep(0.02)  # between two looks, never instead of one

    def logs(self, lines: int = 40) -> str:
        """The end of every process's log."""
        told = []
        for path in sorted(self.folder.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            told.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(told)
