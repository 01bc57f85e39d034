"""gunicorn's threaded worker, with a time limit for arriving requests and problems as errors."""

from __future__ import annotations

import select
import socket
import struct
import sys
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from api.http import problem_types
from api.http.handed_over import HandedOver
from api.http.problem_types import ProblemType
from api.http.slow_request import SlowRequest
from api.server.request_threads import RequestThreads
from orchestrator import clock

#: Seconds within which a request must arrive completely.
REQUEST_TIMEOUT = 30.0
#: Milliseconds that a thread waits for the next request on its connection.
PIPELINE_WAIT = 5
#: Seconds that a thread runs while other threads wait. With Python's default of 5 ms a hint would
#: be sent only after the answer.
SWITCH_INTERVAL = 0.0005
#: Seconds that a client may read nothing of an answer.
WRITE_TIMEOUT = 30

_KINDS: tuple[tuple[type[Exception], ProblemType], ...] = (
    (SlowRequest, problem_types.TIMEOUT),
    (errors.LimitRequestLine, problem_types.URI_TOO_LONG),
    (errors.LimitRequestHeaders, problem_types.HEADERS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, problem_types.NOT_IMPLEMENTED),
    (errors.ParseException, problem_types.MALFORMED),
)


class Connection(TConn):  # type: ignore[misc]  # it has no types
    """A connection whose requests must arrive within `REQUEST_TIMEOUT`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deadline = 0.0
        #: Whether another thread writes to a duplicate of the socket.
        self.handed_over = False
        # A client that does not read its answer must not block a thread for ever.
        self.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WRITE_TIMEOUT, 0)
        )

    def init(self) -> None:
        """Make the parser read with the deadline."""
        super().init()
        unreader = self.parser.unreader
        if not isinstance(unreader.chunk, partial):
            unreader.chunk = partial(self._chunk, unreader.chunk)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection; of one that was handed over only our end of it."""
        if self.handed_over:
            self.sock.close()
        else:
            super().close(*args, **kwargs)

    def _chunk(self, read: Any, *args: Any, **kwargs: Any) -> bytes:
        remaining = self.deadline - clock.monotonic()
        if remaining <= 0:
            raise SlowRequest
        self.sock.settimeout(remaining)
        try:
            chunk: bytes = read(*args, **kwargs)
        except TimeoutError:
            raise SlowRequest from None
        finally:
            self.sock.setblocking(True)
        return chunk


class Worker(ThreadWorker):  # type: ignore[misc]  # it has no types
    """gunicorn's worker, with `Connection`, `RequestThreads` and problems as error answers."""

    def get_thread_pool(self) -> RequestThreads:
        """Return threads that free their slots while they wait."""
        return RequestThreads(self.cfg.threads)

    def load_wsgi(self) -> None:
        """Load the application, and let its waiting requests free their thread slots."""
        super().load_wsgi()
        state = self._state()
        if state:
            state.waiters.lend = self.tpool.lend_thread

    def accept(self, listener: Any) -> None:
        """Accept a connection as gunicorn does, as a `Connection`."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        sock.setblocking(True)
        self.enqueue_req(Connection(self.cfg, sock, address, listener.getsockname()))

    def handle(self, conn: Connection) -> Any:
        """Serve a request, and the requests that follow at once on the same connection.

        The time limit starts when a request is awaited. gunicorn would pass each request to a
        thread through the main thread, which costs a sequential client a tenth of its time.
        """
        while True:
            conn.deadline = clock.monotonic() + REQUEST_TIMEOUT
            keep_alive = super().handle(conn)
            if keep_alive is not True or not self.alive or not self._follows(conn):
                return keep_alive

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Serve a request. A connection that its answer has handed over is done here."""
        try:
            return super().handle_request(req, conn)
        except HandedOver:
            conn.handed_over = True
            return False

    def _follows(self, conn: Connection) -> bool:
        """Whether the next request comes at once. Do not wait if other requests need a thread."""
        if conn.parser.unreader.buf.getvalue():
            return True
        if self.tpool.waiting:
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(PIPELINE_WAIT))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a request that cannot be read, or an internal failure, with a problem."""
        # Imported late: gunicorn's main process loads this module and needs no Flask.
        from api.http import problems

        kind = next(
            (kind for family, kind in _KINDS if isinstance(exc, family)), problem_types.INTERNAL
        )
        if kind is problem_types.INTERNAL:
            self.log.error("Error handling a request", exc_info=exc)
        body = problems.body_before_request(
            problems.Problem(kind, str(exc) if kind.status == 400 else None)
        )
        head = (
            f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"
            f"Content-Type: {problems.MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            self.log.debug("The client closed the connection before its answer")

    def init_process(self) -> None:
        """Serve until the process stops, then end the waits and close the application."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            super().init_process()
        finally:
            self._close()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop gracefully: end waits and streams at once."""
        super().handle_exit(sig, frame)
        state = self._state()
        if state:
            state.waiters.release()
            state.feed.release()
            state.changes.release()

    def _state(self) -> Any:
        app = getattr(self, "wsgi", None)
        return app.extensions.get("orchestrator") if app else None

    def _close(self) -> None:
        state = self._state()
        if state:
            state.close()
