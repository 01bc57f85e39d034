"""The network layer under the HTTP client: it checks each connection and bounds each wait.

Connections are kept for a few seconds and used again for the same scheme, host and port. The
deadline of a wait is that of the request that waits, so each thread and greenlet has its own."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

from orchestrator import clock
from orchestrator.outbound.address_guard import Guard


class Deadline:
    """The time of the monotonic clock at which a request must be over. `has_connected`: the request
    has opened a connection; False means that it used a kept one."""

    def __init__(self, seconds: float) -> None:
        self._end = clock.monotonic() + seconds
        self.has_connected = False

    @contextmanager
    def bounding(self) -> Iterator[None]:
        """Bound the waits of this thread or greenlet."""
        token = _deadline.set(self)
        try:
            yield
        finally:
            _deadline.reset(token)

    def remaining(self, limit: float | None = None) -> float:
        """Return the remaining seconds, at most `limit`. Raise `ReadTimeout` if none remain."""
        left = self._end - clock.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the time is over")
        return left if limit is None else min(left, limit)


_deadline: ContextVar[Deadline] = ContextVar("deadline")

#: Most connections that a process keeps open while no request uses them.
MAX_IDLE = 32


class GuardedTransport(httpx2.HTTPTransport):
    """HTTP over connections that the guard allows. One that was idle for `idle` seconds is not used
    again; 0: none is. Each request needs a deadline (`Deadline.bounding`)."""

    def __init__(self, context: ssl.SSLContext, guard: Guard, idle: float) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            http2=False,
            max_connections=None,
            max_keepalive_connections=MAX_IDLE if idle else 0,
            keepalive_expiry=idle,
            network_backend=_Backend(guard),
        )


class _Backend(httpcore2.NetworkBackend):
    """TCP only: connections to Unix sockets stay unimplemented, as in the base class."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the backend's interface
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first checked address that answers."""
        deadline = _deadline.get()
        deadline.has_connected = True
        targets = self._guard.targets(host, port, deadline.remaining(timeout))
        for target in targets[:-1]:
            try:
                return self._connect(target.host, target.port, timeout, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._connect(targets[-1].host, targets[-1].port, timeout, socket_options)

    def _connect(
        self, host: str, port: int, timeout: float | None, options: Iterable[Any] | None
    ) -> httpcore2.NetworkStream:
        left = _deadline.get().remaining(timeout)
        return _Stream(self._plain.connect_tcp(host, port, left, None, options))


class _Stream(httpcore2.NetworkStream):
    """A connection on which every wait ends by the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _deadline.get().remaining(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _deadline.get().remaining(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = _deadline.get().remaining(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
