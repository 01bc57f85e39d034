"""A Postgres server with its own cluster.

The folder contains ``cluster`` (the only part that belongs to the user that Postgres runs as),
``password``, ``server.log`` and ``server.pid``. That user may not be able to read the folders
above: we enter the cluster before the change of user, and Postgres uses its working directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg2

from orchestrator.embedded.binaries import postgres_bin
from orchestrator.embedded.machine import this_machine
from orchestrator.embedded.server import HOST, Server
from orchestrator.embedded.supervisor import Process, Supervisor
from orchestrator.embedded.system_user import Account, account_for
from orchestrator.errors import ConfigurationError

USER = "orchestrator"
#: The path by which Postgres reaches its cluster, from inside of it.
HERE = this_machine().WORKING_DIRECTORY

#: Parameters for a laptop. Those that affect durability keep Postgres' defaults.
DEFAULTS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Turn replication off: an embedded server has no replicas.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # Let each process of Postgres read by itself (`sync`): by default, Postgres starts three more
    # processes for reading, which would be idle.
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

INITDB = (
    f"--pgdata={HERE}",
    f"--username={USER}",
    "--auth=scram-sha-256",
    # Hash the password with one iteration. It is random, so more iterations would only make each
    # new connection slower.
    "--set=scram_iterations=1",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class Postgres(Server):
    """A Postgres 18 server; see `Server`.

    `fsync` False is for tests, whose data need not survive a crash of the machine. `settings` are
    server parameters by name; they replace `DEFAULTS`.
    """

    kind = "postgres"

    def __init__(
        self,
        data_dir: Path | str,
        *,
        fsync: bool = True,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        super().__init__(data_dir, port, supervisor)
        self.fsync = fsync
        self.settings = dict(settings or {})
        self._account: Account | None = None
        self._binaries = Path()

    @property
    def url(self) -> str:
        """The URL of the database ``postgres``, as its superuser."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/{database}"

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "cluster"

    def _prepare(self) -> None:
        self._account = account_for(self._cluster)
        self._binaries = postgres_bin(self._account)
        for unfinished in self.data_dir.glob("cluster.new*"):
            shutil.rmtree(unfinished)
        if not self._cluster.exists():
            self._initdb()
        self._check_version()
        # Delete the process id file of a server that was killed. Our lock on the folder proves that
        # this server has ended. Postgres would take a new process with the same id for a running
        # server.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _initdb(self) -> None:
        """Create the cluster under another name, so that an incomplete one is never used."""
        account = self._account
        fresh = Path(tempfile.mkdtemp(prefix="cluster.new.", dir=self.data_dir))
        with _password_file(self.password, account) as password:
            if account:
                os.chown(fresh, account.uid, account.gid)
            done = subprocess.run(
                [
                    str(self._binaries / "initdb"),
                    *INITDB,
                    f"--pwfile=/dev/fd/{password.fileno()}",
                    "--sync-method=fsync" if self.fsync else "--no-sync",
                ],
                cwd=fresh,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                pass_fds=[password.fileno()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        if done.returncode:
            raise ConfigurationError(f"initdb failed: {done.stderr.decode(errors='replace')}")
        fresh.rename(self._cluster)

    def _check_version(self) -> None:
        made = (self._cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        command = [str(self._binaries / "postgres"), "--version"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        have = output.split()[-1].partition(".")[0]
        if made != have:
            raise ConfigurationError(
                f"{self._cluster} was made by Postgres {made}, this is {have}: "
                "dump it with the old release and load it into a fresh folder"
            )

    def _launch(self, supervisor: Supervisor) -> Process:
        settings = {
            **DEFAULTS,
            "port": str(self.port),
            "fsync": "on" if self.fsync else "off",
            **self.settings,
        }
        account = self._account
        return self._spawn(
            supervisor,
            [
                str(self._binaries / "postgres"),
                f"-D{HERE}",
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            cwd=self._cluster,
            user=(account.uid, account.gid) if account else None,
            stop=signal.SIGINT,  # "fast": disconnects clients, writes all data
            death=signal.SIGQUIT,  # "immediate": its children end too
            ready=self._answers,
        )

    def _answers(self, _process: Process) -> bool:
        try:
            psycopg2.connect(self.url, connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


@contextmanager
def _password_file(password: str, account: Account | None) -> Iterator[IO[bytes]]:
    """Open an unnamed file with the password that only the account can read."""
    with tempfile.TemporaryFile() as file:
        file.write(password.encode())
        file.flush()
        if account:
            os.fchown(file.fileno(), account.uid, account.gid)
        yield file
