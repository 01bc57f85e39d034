"""Everything embedded: Postgres, the broker, API, workers, beat, as processes of one parent.

`dev` and `demo` use it. None of the processes outlives the parent, however that ends; see
`orchestrator.embedded.supervisor`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Any, Self

from orchestrator.cli.dev.process_scan import is_alive, with_variable
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.clock import monotonic
from orchestrator.embedded import Postgres, Valkey
from orchestrator.embedded.server import free_port
from orchestrator.embedded.supervisor import (
    TAIL,
    Process,
    ProcessFailed,
    Supervisor,
    http_ok,
    log_says,
)
from orchestrator.ids import new_id
from orchestrator.secrets.encryption import new_key

HOST = "127.0.0.1"

#: Seconds that a process may take to get ready: a cold start on a slow machine.
PATIENCE = 60.0
_WAIT_FOR_FOLDER = 15.0
_WAIT_FOR_PORT = 3.0

#: In the environment of every process, so that what it starts can be told as well.
_MARK = "ORCHESTRATOR_STACK"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to start, and where its data goes. `port` 0 takes a free one.

    `environment` is added to that of the processes; without `restart` a worker that dies
    stays dead.
    """

    data: Path
    port: int = 8233
    workers: int = 2
    concurrency: int = 4
    fresh: bool = False
    flower: bool = False
    restart: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


class LocalStack:
    """The running whole, as a context manager; ready once entered.

    Raises `ProcessFailed` with the end of the log of what could not be started.
    """

    def __init__(self, plan: Plan, report: Report) -> None:
        self.plan = plan
        self.data = plan.data.resolve()
        self.api_url = self.database_url = self.broker_url = self.flower_url = ""
        #: ``user:password`` of Flower.
        self.flower_login = ""
        #: Every process that was ever started, by id.
        self.started: dict[int, str] = {}
        self._report = report
        self._identity = new_id()
        self._exit = ExitStack()
        self._environment: dict[str, str] = {}
        self._ready = False

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs."""
        return self.data / "logs"

    @property
    def processes(self) -> dict[str, Process]:
        """Those of API, workers and beat, by name."""
        return self._supervisor.processes

    def alive(self) -> dict[int, str]:
        """Which of the processes, and of those that they started, still run."""
        ours = {pid: name for pid, name in self.started.items() if is_alive(pid)}
        return ours | with_variable(f"{_MARK}={self._identity}")

    def start_worker(self, number: int) -> Process:
        """Start one more worker; does not wait until it is ready."""
        name = f"worker-{number}"
        options = ["--concurrency", str(self.plan.concurrency), "--hostname", f"{name}@%h"]
        options += ["--task-events"] if self.plan.flower else []
        return self._spawn(name, "worker", *options, restart=self.plan.restart)

    def _start(self) -> None:
        if self.plan.port:
            _wait_for_port(self.plan.port)
        if self.plan.fresh:
            _clear(self.data)
        self.logs.mkdir(parents=True, exist_ok=True)
        # Ends the processes in order at its own end: the servers last.
        self._supervisor = self._exit.enter_context(Supervisor(self._note))
        self._exit.callback((self.data / "dev.json").unlink, missing_ok=True)
        self._start_servers()
        self._start_processes()
        self._ready = True
        self._write_down()

    def _start_servers(self) -> None:
        from orchestrator.database.schema import upgrade

        self._report("starting Postgres and Valkey")
        supervisor = self._supervisor
        self.database_url = Postgres(self.data / "postgres", supervisor=supervisor).start()
        self.broker_url = Valkey(self.data / "valkey", supervisor=supervisor).start()
        self._report("preparing the database")
        upgrade.upgrade(self.database_url)

    def _start_processes(self) -> None:
        port = self.plan.port or free_port()
        self.api_url = f"http://{HOST}:{port}"
        if self.plan.flower:
            self.flower_url = f"http://{HOST}:{free_port()}"
        self._environment = {**os.environ, **self._settings(port), **self.plan.environment}
        self._report("starting API, workers and beat")
        api = self._spawn("api", "api")
        workers = [self.start_worker(number + 1) for number in range(self.plan.workers)]
        beat = self._spawn("beat", "beat")
        if self.plan.flower:
            self._start_flower()
        api.wait_until(first_life(http_ok(f"{self.api_url}/readyz")), PATIENCE)
        for worker in workers:
            worker.wait_until(first_life(log_says(" ready.")), PATIENCE)
        beat.wait_until(first_life(log_says("beat: Starting")), PATIENCE)

    def _settings(self, port: int) -> dict[str, str]:
        return {
            "ORCHESTRATOR_DATABASE_URL": self.database_url,
            "ORCHESTRATOR_DATABASE_DIRECT_URL": "",
            "ORCHESTRATOR_BROKER_URL": self.broker_url,
            "ORCHESTRATOR_API_HOST": HOST,
            "ORCHESTRATOR_API_PORT": str(port),
            "ORCHESTRATOR_API_URL": self.api_url,
            "ORCHESTRATOR_LOG_FORMAT": "text",
            **({"ORCHESTRATOR_FLOWER_URL": self.flower_url} if self.plan.flower else {}),
            **self._secrets_key(),
            _MARK: self._identity,
        }

    def _secrets_key(self) -> dict[str, str]:
        """A key to seal secrets with, kept beside the data, unless there is one."""
        if os.environ.keys() & {"ORCHESTRATOR_SECRETS_KEY", "ORCHESTRATOR_SECRETS_KEY_FILE"}:
            return {}
        path = self.data / "secrets.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(new_key() + "\n")
        return {"ORCHESTRATOR_SECRETS_KEY_FILE": str(path)}

    def _start_flower(self) -> None:
        """Flower can end and revoke tasks: it asks for a password, on loopback too."""
        self.flower_login = f"admin:{token_hex(8)}"
        secret = self.data / "flower.conf"
        secret.touch(mode=0o600)
        secret.write_text(f"basic_auth = [{self.flower_login!r}]\n")
        port = self.flower_url.rpartition(":")[2]
        argv = [
            "-m",
            "celery",
            "-A",
            "orchestrator.execution.entry_points.worker_and_beat_app",
            "flower",
            f"--address={HOST}",
        ]
        self._run("flower", [*argv, f"--port={port}", f"--conf={secret}"], restart=True)

    def _spawn(self, name: str, *command: str, restart: bool = True) -> Process:
        return self._run(name, ["-m", "orchestrator.cli", *command], restart)

    def _run(self, name: str, argv: list[str], restart: bool) -> Process:
        # -P: what stands in the working directory is not ours.
        return self._supervisor.spawn(
            name,
            [sys.executable, "-P", *argv],
            env=self._environment,
            log=self.logs / f"{name}.log",
            restart=restart,
        )

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "started":
            self.started[event["pid"]] = event["name"]
            if self._ready:
                self._write_down()
        elif event["event"] == "exited" and event.get("again_in") is not None:
            self._report(f"{event['name']} ended with status {event['code']}; it starts again")

    def _write_down(self) -> None:
        """Leave the addresses where scripts look for them; whole or not at all."""
        pids = {
            name.partition(":")[0]: process.pid
            for name, process in self.processes.items()
            if process.running
        }
        content = {
            "api_url": self.api_url,
            "database_url": self.database_url,
            "broker_url": self.broker_url,
            "flower_url": self.flower_url or None,
            "flower_login": self.flower_login or None,
            "pids": {"dev": os.getpid(), **pids},
        }
        part = self.data / "dev.json.part"
        part.touch(mode=0o600)  # the addresses hold passwords
        part.write_text(json.dumps(content, indent=2) + "\n")
        part.replace(self.data / "dev.json")


def first_life(ready: Callable[[Process], bool]) -> Callable[[Process], bool]:
    """Ready as `ready` says; a process that had to be started again is not waited for."""

    def look(process: Process) -> bool:
        if process.starts > 1:
            log = process.log_until_end()[-TAIL:].strip()
            raise ProcessFailed(f"{process.name} does not stay up: {log}")
        return ready(process)

    return look


def _wait_for_port(port: int) -> None:
    """Wait until nobody listens there; an API whose parent was killed takes a moment to end.

    Another one that goes on would be taken for ours: it answers at the same address.
    """
    deadline, patience = monotonic() + _WAIT_FOR_PORT, threading.Event()
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                return probe.bind((HOST, port))
            except OSError as error:
                if monotonic() > deadline:
                    hint = "Choose another port with --port; 0 takes a free one."
                    message = f"port {port}: {error.strerror}"
                    raise Failure(message, Exit.USAGE, hint) from None
        patience.wait(0.05)  # a port can't be awaited


def _clear(data: Path) -> None:
    """Remove what a stack left in its data folder, and nothing else."""
    for server in ("postgres", "valkey"):
        if (data / server / "server.pid").exists():
            with (data / server / "server.pid").open("a") as file:
                _wait_until_unused(file, data)
        shutil.rmtree(data / server, ignore_errors=True)
    shutil.rmtree(data / "logs", ignore_errors=True)
    (data / "secrets.key").unlink(missing_ok=True)  # it opens nothing any more


def _wait_until_unused(file: IO[str], data: Path) -> None:
    """Wait for a server's lock: one whose parent was killed takes a moment to end."""
    deadline, patience = monotonic() + _WAIT_FOR_FOLDER, threading.Event()
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                hint = "Stop that one first, or choose another folder with --data."
                raise Failure(f"{data} is in use", Exit.USAGE, hint) from None
            patience.wait(0.05)  # a lock can't be awaited with a time limit
