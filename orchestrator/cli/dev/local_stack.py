"""Postgres, the broker, API, workers and beat as child processes, for `dev` and `demo`.

No child process outlives the parent, however the parent ends; see
`orchestrator.embedded.supervisor`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
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

from orchestrator.cli.dev.kept_ports import KeptPorts
from orchestrator.cli.dev.process_scan import is_alive, with_variable
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.clock import monotonic
from orchestrator.embedded import Postgres, Valkey
from orchestrator.embedded.supervisor import (
    TAIL,
    Process,
    ProcessFailed,
    Supervisor,
    http_ok,
    log_says,
)
from orchestrator.extras import is_installed, require_installed
from orchestrator.ids import new_id
from orchestrator.secrets.encryption import new_key

HOST = "127.0.0.1"

#: Longest time until a process is ready, in seconds: a cold start on a slow machine.
READY_TIMEOUT = 60.0
#: Longest waits for a data folder and for a port that an earlier stack still uses, in seconds.
_FOLDER_TIMEOUT = 15.0
_PORT_TIMEOUT = 3.0

#: A variable that every process inherits: it identifies the stack's processes and their children.
_MARK = "ORCHESTRATOR_STACK"

Report = Callable[[str], None]


@dataclass(frozen=True)
class StackPlan:
    """The processes to start, and the folder of their data. `port` 0: any free port.

    `environment` is added to the environment of the processes. Without `restart` a worker or a
    server that died is not started again.
    """

    data: Path
    port: int = 8233
    workers: int = 2
    concurrency: int = 4
    fresh: bool = False
    flower: bool = False
    restart: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    #: The project's app, as in ``celery -A``; None: our own, with ORCHESTRATOR_IMPORTS.
    app: str | None = None


class LocalStack:
    """A context manager that runs the processes; on entry it waits until all are ready.

    Raises `ProcessFailed` with the end of the log of a process that could not be started.
    """

    def __init__(self, plan: StackPlan, report: Report) -> None:
        self.plan = plan
        self.data = plan.data.resolve()
        self.api_url = self.database_url = self.broker_url = self.flower_url = ""
        #: ``user:password`` of Flower.
        self.flower_login = ""
        #: The name of every process that was ever started, by process id.
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
        """The processes of API, workers and beat, by name."""
        return self._supervisor.processes

    def running_processes(self) -> dict[int, str]:
        """Return the processes of the stack and their children that still run: name by process
        id."""
        ours = {pid: name for pid, name in self.started.items() if is_alive(pid)}
        return ours | with_variable(f"{_MARK}={self._identity}")

    def start_worker(self, number: int) -> Process:
        """Start one more worker; does not wait until it is ready."""
        name = f"worker-{number}"
        options = ["--concurrency", str(self.plan.concurrency), "--hostname", f"{name}@%h"]
        options += ["--task-events"] if self.plan.flower else []
        return self._spawn(name, "worker", *self._app_option, *options, restart=self.plan.restart)

    def restart_workers(self) -> None:
        """Let each worker end its steps and start again, with the code as it is now."""
        for name, process in self.processes.items():
            if name.startswith("worker-") and process.running:
                process.signal(signal.SIGTERM)

    @property
    def _app_option(self) -> list[str]:
        return ["--app", self.plan.app] if self.plan.app else []

    def _start(self) -> None:
        if self.plan.flower:
            require_installed("flower")
        if self.plan.port:
            _wait_for_port(self.plan.port)
        if self.plan.fresh:
            _clear(self.data)
        self.logs.mkdir(parents=True, exist_ok=True)
        # At its exit, the supervisor stops the processes in order. It stops Postgres and the broker
        # last, since the others use them.
        self._supervisor = self._exit.enter_context(Supervisor(self._on_event))
        self._exit.callback((self.data / "dev.json").unlink, missing_ok=True)
        self._start_servers()
        self._start_processes()
        self._ready = True
        self._write_addresses()

    def _start_servers(self) -> None:
        from orchestrator.database.schema import upgrade

        self._report("starting Postgres and Valkey")
        supervisor = self._supervisor
        ports = KeptPorts(self.data / "ports.json")
        postgres = Postgres(
            self.data / "postgres", port=ports.of("postgres"), supervisor=supervisor
        )
        valkey = Valkey(self.data / "valkey", port=ports.of("valkey"), supervisor=supervisor)
        postgres.restarts = valkey.restarts = self.plan.restart
        self.database_url, self.broker_url = postgres.start(), valkey.start()
        self._report("preparing the database")
        upgrade.upgrade(self.database_url)

    def _start_processes(self) -> None:
        ports = KeptPorts(self.data / "ports.json")
        port = self.plan.port or ports.of("api")
        self.api_url = f"http://{HOST}:{port}"
        if self.plan.flower:
            self.flower_url = f"http://{HOST}:{ports.of('flower')}"
        self._environment = {**os.environ, **self._settings(port), **self.plan.environment}
        self._report("starting API, workers and beat")
        api = self._spawn("api", "api")
        workers = [self.start_worker(number + 1) for number in range(self.plan.workers)]
        beat = self._spawn("beat", "beat", *self._app_option)
        if self.plan.flower:
            self._start_flower()
        api.wait_until(on_first_start(http_ok(f"{self.api_url}/readyz")), READY_TIMEOUT)
        for worker in workers:
            worker.wait_until(on_first_start(log_says(" ready.")), READY_TIMEOUT)
        beat.wait_until(on_first_start(log_says("beat: Starting")), READY_TIMEOUT)

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
            # If the workers run a project's app, set Celery's own variable for the broker. Celery
            # prefers the variable to the broker that the app names.
            **({"CELERY_BROKER_URL": self.broker_url} if self.plan.app else {}),
        }

    def _secrets_key(self) -> dict[str, str]:
        """Return the setting of a key that encrypts secrets. If no setting names one, the key is
        created once and stored beside the data; without the extra [secrets] there is none."""
        if not is_installed("cryptography"):
            return {}
        if os.environ.keys() & {"ORCHESTRATOR_SECRETS_KEY", "ORCHESTRATOR_SECRETS_KEY_FILE"}:
            return {}
        path = self.data / "secrets.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(new_key() + "\n")
        return {"ORCHESTRATOR_SECRETS_KEY_FILE": str(path)}

    def _start_flower(self) -> None:
        """Start Flower with a password, on loopback too: Flower can terminate and revoke tasks."""
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
        # Start Python with -P, which keeps the working directory off the import path. A module
        # there must not replace a module of the product.
        return self._supervisor.spawn(
            name,
            [sys.executable, "-P", *argv],
            env=self._environment,
            log=self.logs / f"{name}.log",
            restart=restart,
        )

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "started":
            self.started[event["pid"]] = event["name"]
            if self._ready:
                self._write_addresses()
        elif event["event"] == "exited" and event.get("again_in") is not None:
            self._report(f"{event['name']} ended with status {event['code']} and is started again")

    def _write_addresses(self) -> None:
        """Write the addresses to dev.json, for scripts; the file is replaced as a whole."""
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
        part.touch(mode=0o600)  # the addresses contain passwords
        part.write_text(json.dumps(content, indent=2) + "\n")
        part.replace(self.data / "dev.json")


def on_first_start(ready: Callable[[Process], bool]) -> Callable[[Process], bool]:
    """Return a check that calls `ready`, and raises `ProcessFailed` once the process was
    restarted."""

    def check(process: Process) -> bool:
        if process.starts > 1:
            log = process.log_until_end()[-TAIL:].strip()
            raise ProcessFailed(f"{process.name} ended during its start: {log}")
        return ready(process)

    return check


def _wait_for_port(port: int) -> None:
    """Wait until no process listens on the port: an API whose parent was killed needs time to end.

    An old API at the same address would otherwise be taken for the new one. Raises `Failure` if
    the port stays in use.
    """
    deadline, pause = monotonic() + _PORT_TIMEOUT, threading.Event()
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                return probe.bind((HOST, port))
            except OSError as error:
                if monotonic() > deadline:
                    hint = "Choose another port with --port; 0 means any free port."
                    message = f"port {port}: {error.strerror}"
                    raise Failure(message, Exit.USAGE, hint) from None
        pause.wait(0.05)  # the system sends no event when a port becomes free


def _clear(data: Path) -> None:
    """Remove the files of an earlier stack from its data folder, and no other files."""
    for server in ("postgres", "valkey"):
        if (data / server / "server.pid").exists():
            with (data / server / "server.pid").open("a") as file:
                _wait_until_unused(file, data)
        shutil.rmtree(data / server, ignore_errors=True)
    shutil.rmtree(data / "logs", ignore_errors=True)
    (data / "secrets.key").unlink(missing_ok=True)  # its secrets are removed too


def _wait_until_unused(file: IO[str], data: Path) -> None:
    """Wait for the lock of a server, which needs time to end after its parent was killed.

    Raises `Failure` if the lock stays taken.
    """
    deadline, pause = monotonic() + _FOLDER_TIMEOUT, threading.Event()
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                hint = "Stop the other stack first, or choose another folder with --data."
                raise Failure(f"{data} is in use", Exit.USAGE, hint) from None
            pause.wait(0.05)  # flock has no time limit
