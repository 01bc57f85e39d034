"""PgBouncer from the system's package, pooling by transactions, as a child of the tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from orchestrator.embedded.supervisor import Process, Supervisor, port_open
from orchestrator.embedded.system_user import account_for
from tests.support.stack import free_port

#: Connections to Postgres for each database, far fewer than those of the processes.
POOL = 4


def why_absent() -> str | None:
    """Why PgBouncer can't be run here; None if it can."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return None if found else "PgBouncer is not installed (apt install pgbouncer)"


class PgBouncer:
    """One PgBouncer in front of a Postgres server, for every database of it."""

    def __init__(self, folder: Path, server_url: str) -> None:
        self._folder = folder
        self._server = urlsplit(server_url)
        self._supervisor = Supervisor()
        self.port = free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.stop()

    def start(self) -> Process:
        """Start it; it must not run as root."""
        account = account_for(self._folder / "absent")
        server = self._server
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            "[databases]\n"
            f"* = host={server.hostname} port={server.port} user={server.username}"
            f" password={server.password or ''}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            # Whoever connects is the databases' user.
            "auth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 500\n"
            # Nothing of a session survives its transaction.
            "server_reset_query = discard all\nserver_reset_query_always = 1\n"
        )
        # Each folder on the way must let that user in; tests' folders are root's alone.
        for each in (config, *config.parents):
            if each.owner() == "root" and each != Path("/"):
                each.chmod(each.stat().st_mode | (0o004 if each == config else 0o001))
        return self._supervisor.spawn(
            "pgbouncer",
            [shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or "pgbouncer", str(config)],
            log=self._folder / "pgbouncer.log",
            user=(account.uid, account.gid) if account else None,
            ready=port_open(self.port),
        )

    def url(self, database_url: str) -> str:
        """The database by way of the pooler."""
        parts = urlsplit(database_url)
        netloc = f"{parts.username}@127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=netloc))

    def pools(self) -> dict[str, str]:
        """The pooling of each database, as its console says."""
        console = psycopg2.connect(
            host="127.0.0.1", port=self.port, dbname="pgbouncer", user="pgbouncer"
        )
        try:
            console.autocommit = True
            with console.cursor() as cursor:
                cursor.execute("show pools")
                names = [column.name for column in cursor.description or ()]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            return {row["database"]: row["pool_mode"] for row in rows}
        finally:
            console.close()
