"""RabbitMQ from the system's package, as a child of the tests: no service, no shared state.

Its Erlang port mapper (epmd) is a child too; left to itself, RabbitMQ would start one that
stays behind.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from kombu import Connection

from orchestrator.embedded.server import HOST, Server, free_port
from orchestrator.embedded.supervisor import Process, Supervisor, port_open

#: Debian's program; the one of its name in the path is a wrapper that changes the user.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
USER = "tests"


def why_absent() -> str | None:
    """Why RabbitMQ can't be run here; None if it can."""
    for program in (PROGRAMS / "rabbitmq-server", PROGRAMS / "rabbitmqctl"):
        if not program.exists():
            return f"RabbitMQ is not installed: {program} is missing (apt install rabbitmq-server)"
    return None if shutil.which("epmd") else "RabbitMQ can't run without Erlang's epmd"


class RabbitMQ(Server):
    """A RabbitMQ node; see `Server`. Its data stays over restarts of this object."""

    kind = "rabbitmq"
    port_taken: ClassVar[str] = "eaddrinuse"

    def __init__(self, data_dir: Path | str) -> None:
        super().__init__(data_dir)
        self._numbers = itertools.count(1)
        self._mapper = free_port()
        self._distribution = free_port()

    @property
    def url(self) -> str:
        """An ``amqp://`` URL of the default virtual host."""
        return self._url("%2F")

    def fresh(self) -> str:
        """The URL of a new virtual host: an empty broker."""
        name = f"v{next(self._numbers)}"
        self.evaluate(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"{USER}">>),'
            f' rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{name}">>,'
            f' <<".*">>, <<".*">>, <<".*">>, <<"{USER}">>).'
        )
        return self._url(name)

    def evaluate(self, expression: str) -> str:
        """What an Erlang expression gives in the node."""
        return subprocess.run(
            [PROGRAMS / "rabbitmqctl", "eval", expression],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def kill(self) -> None:
        """SIGKILL, as a crash would have it. RabbitMQ writes down where its queues are every
        three minutes; one younger than that would not survive, which is none of our business.
        """
        self.evaluate("[dets:sync(Table) || Table <- dets:all()].")
        super().kill()

    def _url(self, virtual_host: str) -> str:
        return f"amqp://{USER}:{self.password}@{HOST}:{self.port}/{virtual_host}"

    def _prepare(self) -> None:
        (self.data_dir / "plugins").write_text("[].\n", encoding="ascii")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.data_dir),  # of the cookie that node and rabbitmqctl share
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"tests{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self.data_dir / "data"),
            "RABBITMQ_LOG_BASE": str(self.data_dir / "logs"),
            "RABBITMQ_LOGS": "-",
            "RUNNING_UNDER_SYSTEMD": "true",  # so that the script becomes the server
            "RABBITMQ_CONFIG_FILE": str(self.data_dir / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data_dir / "plugins"),
            "RABBITMQ_PID_FILE": str(self.data_dir / "rabbitmq.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false +S 2:2",
        }

    def _launch(self, supervisor: Supervisor) -> Process:
        config = self.data_dir / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        self._map_ports(supervisor)
        return self._spawn(
            supervisor,
            [str(PROGRAMS / "rabbitmq-server")],
            ready=self._answers,
            timeout=60,
        )

    def _map_ports(self, supervisor: Supervisor) -> None:
        """Start epmd, unless it has outlived the node."""
        name = f"epmd:{self._mapper}"
        if name in supervisor.processes and not supervisor.processes[name].ended:
            return
        supervisor.spawn(
            name,
            ["epmd", "-port", str(self._mapper), "-address", HOST],
            env=self._environment(),
            log=self.data_dir / "epmd.log",
            ready=port_open(self._mapper),
            tier=0,
        )

    def _spawn(self, supervisor: Supervisor, argv: list[str], **options: Any) -> Process:
        return supervisor.spawn(
            f"{self.kind}:{self.port}",
            argv,
            env=self._environment(),
            log=self.log,
            lock=self.data_dir / "server.pid",
            grace=20,
            tier=0,
            **options,
        )

    def _config(self) -> list[str]:
        return [
            f"default_user = {USER}",
            f"default_pass = {self.password}",
            "loopback_users = none",
            "disk_free_limit.absolute = 50MB",
            "log.console.level = warning",
        ]

    def _answers(self, _process: Process) -> bool:
        options = {"max_retries": 1, "interval_start": 0}
        with Connection(self.url, connect_timeout=2, transport_options=options) as connection:
            broken: tuple[type[BaseException], ...] = (OSError, *connection.connection_errors)
            try:
                connection.connect()
            except broken:
                return False
        return True
