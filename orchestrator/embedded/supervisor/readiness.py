"""Readiness checks: each function returns a check that says whether a process is ready."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from orchestrator.embedded.supervisor.process import Process

#: Timeout of one check, in seconds.
CHECK_TIMEOUT = 1.0


def port_open(port: int, host: str = "127.0.0.1") -> Callable[[Process], bool]:
    """Ready when the port accepts connections."""

    def check(_: Process) -> bool:
        try:
            socket.create_connection((host, port), timeout=CHECK_TIMEOUT).close()
        except OSError:
            return False
        return True

    return check


def http_ok(url: str) -> Callable[[Process], bool]:
    """Ready when a GET of the URL (``http`` only) returns a 2xx status."""
    parts = urlsplit(url)

    def check(_: Process) -> bool:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=CHECK_TIMEOUT)
        try:
            connection.request("GET", f"{parts.path or '/'}?{parts.query}")
            return connection.getresponse().status in range(200, 300)
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    return check


def log_says(text: str) -> Callable[[Process], bool]:
    """Ready when the log since the latest start contains the text."""

    def check(process: Process) -> bool:
        return text in process.log_since_start()

    return check
