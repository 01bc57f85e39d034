"""The HTTP port of a worker or a beat: ``/livez``, ``/readyz`` and ``/metrics``.

It is for supervisors and Prometheus and needs no key: every client that reaches the address may
read it. Threads of the main process serve it, so that scrapers and steps never wait for each other.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator.errors import ConfigurationError
from orchestrator.extras import PartMissing
from orchestrator.metrics import Series
from orchestrator.settings import parse_address

#: Longest time to read a request or to write its response, in seconds; then the connection ends.
REQUEST_TIMEOUT = 5.0

#: Returns whether the check passes, and one line of text about it.
Check = Callable[[], tuple[bool, str]]


class Probes:
    """The probe server, which runs until `close`. Each request calls `alive`, `ready` or `series`.

    `where`: host and port, as in ``127.0.0.1:9100``.

    Raises:
        ConfigurationError: the process cannot listen on this address.
    """

    def __init__(
        self, where: str, alive: Check, ready: Check, series: Callable[[], Iterable[Series]]
    ) -> None:
        host_and_port = parse_address(where)
        assert host_and_port is not None  # noqa: S101  settings check it
        self._routes: dict[str, Callable[[str | None], tuple[int, bytes, str]]] = {
            "/livez": lambda _: _checked(alive),
            "/readyz": lambda _: _checked(ready),
            "/metrics": lambda accept: _metrics(series, accept),
        }
        try:
            self._server = _Server(host_and_port, self._routes)
        except OSError as error:
            raise ConfigurationError(f"ORCHESTRATOR_PROBE_ADDRESS {where}: {error}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="orchestrator-probes", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def detach(self) -> None:
        """Close the port in a forked child; the parent keeps serving it."""
        self._server.socket.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _checked(check: Check) -> tuple[int, bytes, str]:
    ok, text = check()
    return (200 if ok else 503), f"{text}\n".encode(), "text/plain; charset=utf-8"


def _metrics(series: Callable[[], Iterable[Series]], accept: str | None) -> tuple[int, bytes, str]:
    # Import the module of the metrics' text format at the first request for them: its library loads
    # slowly.
    try:
        from orchestrator.metrics.exposition import exposition_text, families
    except PartMissing as error:
        return 501, f"{error}\n".encode(), "text/plain; charset=utf-8"
    body, content_type = exposition_text(families(series()), accept)
    return 200, body, content_type


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, where: tuple[str, int], routes: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self.routes = routes
        super().__init__(where, _Handler)

    def server_bind(self) -> None:
        """Bind as `HTTPServer` does, without its DNS query for the host name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: scrapers may disconnect early."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT
    server_version = "orchestrator"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the routes."""
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            return self._answer(404, b"not found\n", "text/plain; charset=utf-8")
        return self._answer(*route(self.headers.get("Accept")))

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: probes come every few seconds."""
