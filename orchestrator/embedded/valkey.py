"""Valkey as the broker: in memory, or with data on disk if `persistent`."""

from __future__ import annotations

import socket
from pathlib import Path

from orchestrator.embedded.binaries import valkey_server
from orchestrator.embedded.server import HOST, Server
from orchestrator.embedded.supervisor import Process, Supervisor


class Valkey(Server):
    """A Valkey server; see `Server`. It starts empty each time unless `persistent`."""

    kind = "valkey"

    def __init__(
        self,
        data_dir: Path | str,
        *,
        port: int | None = None,
        persistent: bool = False,
        supervisor: Supervisor | None = None,
    ) -> None:
        super().__init__(data_dir, port, supervisor)
        self.persistent = persistent

    @property
    def url(self) -> str:
        """A ``redis://`` URL of database 0."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def _prepare(self) -> None:
        if not self.persistent:
            for file in self.data_dir.glob("appendonlydir/*"):
                file.unlink()

    def _launch(self, supervisor: Supervisor) -> Process:
        # Pass the settings to Valkey in a file that only our user can read. They contain the
        # password, and every local user can read the arguments of a process.
        config = self.data_dir / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        argv = [str(valkey_server()), str(config)]
        return self._spawn(supervisor, argv, cwd=self.data_dir, ready=self._answers)

    def _config(self) -> list[str]:
        return [
            f"bind {HOST}",
            f"port {self.port}",
            f"requirepass {self.password}",
            "daemonize no",
            'save ""',
            f"appendonly {'yes' if self.persistent else 'no'}",
            "appendfsync everysec",
            # Let a full broker refuse new messages: other policies would drop waiting messages.
            "maxmemory-policy noeviction",
        ]

    def _answers(self, _process: Process) -> bool:
        try:
            with (
                socket.create_connection((HOST, self.port), timeout=1) as client,
                client.makefile("rb") as answers,
            ):
                client.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        except OSError:
            return False
