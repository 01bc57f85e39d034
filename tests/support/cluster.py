"""pytest-celery's nodes as processes of this machine, for tests that also run in containers.

pytest-celery gives a test a cluster of brokers, backends and workers, each a Docker container that
it can kill and restart, and whose log it can read. `LocalNode` is a process that replaces such a
container: an embedded server or a worker of a `Stack` answers the library's requests.
`why_no_docker` says why containers are not available.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal as signals
import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException
from pytest_celery import CeleryTestBackend, CeleryTestContainer, CeleryWorkerContainer

from orchestrator.embedded.server import Server
from orchestrator.embedded.supervisor import Process, ProcessFailed
from tests.support.stack import ROOT
from tests.support.zoo import APP, Zoo

#: The part of a worker's name after the ``@``; pytest-celery takes a container's id.
HOST = "local"
READY = " ready."


def why_no_docker() -> str | None:
    """Why no containers can be run here; None if they can."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        # Workers in containers share this machine's network, to reach the tests' Postgres.
        return f"the Docker engine at {address} may run on another machine than the tests"
    try:
        # The client leaves a socket open where nobody answers.
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(address.removeprefix("unix://"))
        with contextlib.closing(docker.from_env(timeout=10)) as client:
            system = str(client.info().get("OperatingSystem"))
    except (OSError, DockerException) as error:
        return f"no Docker engine answers at {address}: {error}"
    return "Docker Desktop has a network of its own" if "Docker Desktop" in system else None


class LocalNode(CeleryTestContainer):  # type: ignore[misc]  # it has no types
    """A process where pytest-celery expects a container; subclasses say which."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def id(self) -> str:
        return HOST

    @property
    def status(self) -> str:
        """As Docker calls it."""
        return "running" if self.process_running() else "exited"

    def process_running(self) -> bool:
        """Whether the process lives."""
        raise NotImplementedError

    def ready(self) -> bool:
        """It was waited for when it was started."""
        return self.process_running()

    def reload(self) -> None:
        """Nothing is cached."""

    def exec_run(self, command: str | list[str]) -> tuple[int, bytes]:
        """Run a command where the process runs."""
        argv = shlex.split(command) if isinstance(command, str) else command
        done = subprocess.run(argv, capture_output=True, timeout=60)
        return done.returncode, done.stdout + done.stderr


def number(signal: str | int | None) -> int:
    """The number of a signal, given as Docker takes it."""
    return int(signals.Signals[signal] if isinstance(signal, str) else signal or signals.SIGKILL)


class LocalServer(LocalNode):
    """An embedded broker or backend. `url`: an address at it, if it is not the server's own."""

    def __init__(self, server: Server, url: str | None = None) -> None:
        super().__init__(f"{server.kind}:{server.port}")
        self._server, self._given = server, url

    @property
    def celeryconfig(self) -> dict[str, Any]:
        url = self._given or self._server.url
        parts = urlsplit(url)
        return {
            "url": url,
            "host_url": url,
            "hostname": parts.hostname,
            "port": parts.port,
            "vhost": parts.path.lstrip("/"),
        }

    def process_running(self) -> bool:
        try:
            return bool(self._server.pid)
        except ProcessFailed:
            return False

    def kill(self, signal: str | int | None = None) -> None:
        if number(signal) == signals.SIGKILL:
            self._server.kill()
        else:
            self._server.stop()

    def restart(self, timeout: int = 10) -> None:
        self._server.stop()
        self._server.start()

    def logs(self) -> str:
        return self._server.log.read_text(errors="replace")


class LocalWorker(LocalNode):
    """A worker of the zoo's app as a process. Its log continues over restarts, as Docker's does."""

    def __init__(self, zoo: Zoo, name: str, options: dict[str, Any]) -> None:
        super().__init__(name)
        self._zoo, self._options = zoo, options
        self._process: Process | None = None
        self._start()

    def _start(self) -> None:
        names = ("-n", f"{self.name}@{HOST}")
        self._process = self._zoo.worker(self.name, arguments=names, **self._options)

    def process_running(self) -> bool:
        return self._process is not None and self._process.running

    def kill(self, signal: str | int | None = None) -> None:
        assert self._process is not None
        if number(signal) == signals.SIGKILL:
            self._process.kill()
        else:
            self._process.signal(number(signal))

    def restart(self, timeout: int = 10) -> None:
        assert self._process is not None
        if self._process.running:
            self._process.stop(grace=timeout)
        self._start()

    def teardown(self) -> None:
        if self._process is not None and self._process.running:
            self._process.stop()

    def logs(self) -> str:
        return (self._zoo.stack.folder / f"{self.name}.log").read_text(errors="replace")

    # What a `CeleryTestWorker` says of itself

    def worker_name(self) -> str:
        return self.name

    def worker_queue(self) -> str:
        return "celery"


class DockerWorker(CeleryWorkerContainer):  # type: ignore[misc]  # it has no types
    """A worker of the zoo's app in a container of our image, on the machine's network."""

    def ready(self) -> bool:
        """A container without a network of its own has neither address nor ports to wait for."""
        self.reload()
        return bool(self.status == "running" and self._wait_ready())

    @property
    def ready_prompt(self) -> str:
        return READY


def worker_container(name: str) -> dict[str, Any]:
    """How the container of a worker is run (docker's ``containers.run``); the environment is
    that of the fixture ``worker_environment``."""
    return {
        "image": "{worker_image.id}",
        "network_mode": "host",
        "entrypoint": "celery",
        "command": ["-A", APP, "worker", "-l", "INFO", "-c", "2", "-n", f"{name}@{HOST}"],
        "volumes": {str(ROOT / "tests"): {"bind": "/app/tests", "mode": "ro"}},
        "wrapper_class": DockerWorker,
        "timeout": 60,
    }


class Results(CeleryTestBackend):  # type: ignore[misc]  # it has no types
    """A result backend whose results stand in a database of their own, that of the zoo."""

    def config(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().config(*args, **{"vhost": "7", **kwargs})
        return found
