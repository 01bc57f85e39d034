"""Facts to wait for after a start: each is a function that looks once and says yes or no."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from orchestrator.embedded.supervisor.process import Process

#: How long one look may take.
LOOK = 1.0


def port_open(port: int, host: str = "127.0.0.1") -> Callable[[Process], bool]:
    """Ready once something accepts connections there."""

    def look(_: Process) -> bool:
        try:
            socket.create_connection((host, port), timeout=LOOK).close()
        except OSError:
            return False
        return True

    return look


def http_ok(url: str) -> Callable[[Process], bool]:
    """Ready once a GET of the URL (``http`` only) answers with a 2xx."""
    parts = urlsplit(url)

    def look(_: Process) -> bool:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=LOOK)
        try:
            connection.request("GET", f"{parts.path or '/'}?{parts.query}")
            return connection.getresponse().status in range(200, 300)
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    return look


def log_says(text: str) -> Callable[[Process], bool]:
    """Ready once the log holds the text, in what was written since the latest start."""

    def look(process: Process) -> bool:
        return text in process.log_since_start()

    return look
