"""Ports that stay the same over restarts, so that open consoles and scripts find them again."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from orchestrator.embedded.server import HOST, free_port


class KeptPorts:
    """The ports of the processes of one data folder, by name, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, name: str) -> int:
        """Return the port of before, or a free one if another process uses that, and keep it."""
        ports = self._read()
        port = ports.get(name)
        if port is None or not _is_free(port):
            ports[name] = port = free_port()
            self._file.write_text(json.dumps(ports) + "\n")
        return port

    def _read(self) -> dict[str, int]:
        try:
            found = json.loads(self._file.read_text())
            return {str(name): int(port) for name, port in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True
