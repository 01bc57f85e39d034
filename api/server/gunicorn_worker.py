"""gunicorn's threaded worker, with a time for requests to arrive and problems for answers."""

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
from api.http.problem_types import ProblemType
from api.http.slow_request import SlowRequest
from api.server.request_threads import RequestThreads
from orchestrator import clock

#: Seconds within which a request must have arrived whole.
REQUEST_TIMEOUT = 30.0
#: Milliseconds within which a next request follows closely.
PIPELINE_WAIT = 5
#: Seconds that a thread runs while others want to: with Python's own 5 ms a hint to the workers
#: would leave only after the answer that it goes out beside.
SWITCH_INTERVAL = 0.0005
#: Seconds that a client may take no byte of an answer.
WRITE_TIMEOUT = 30

_KINDS: tuple[tuple[type[Exception], ProblemType], ...] = (
    (SlowRequest, problem_types.TIMEOUT),
    (errors.LimitRequestLine, problem_types.URI_TOO_LONG),
    (errors.LimitRequestHeaders, problem_types.HEADERS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, problem_types.NOT_IMPLEMENTED),
    (errors.ParseException, problem_types.MALFORMED),
)


class Connection(TConn):  # type: ignore[misc]  # it has no types
    """A connection whose requests must arrive within `PATIENCE`, however they drip."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deadline = 0.0
        # An answer that nobody takes must not hold a thread for ever.
        self.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WRITE_TIMEOUT, 0)
        )

    def init(self) -> None:
        """Have the parser read through us."""
        super().init()
        unreader = self.parser.unreader
        if not isinstance(unreader.chunk, partial):
            unreader.chunk = partial(self._chunk, unreader.chunk)

    def _chunk(self, read: Any, *args: Any, **kwargs: Any) -> bytes:
        left = self.deadline - clock.monotonic()
        if left <= 0:
            raise SlowRequest
        self.sock.settimeout(left)
        try:
            found: bytes = read(*args, **kwargs)
        except TimeoutError:
            raise SlowRequest from None
        finally:
            self.sock.setblocking(True)
        return found


class Worker(ThreadWorker):  # type: ignore[misc]  # it has no types
    """gunicorn's, with our connections and our answers."""

    def get_thread_pool(self) -> RequestThreads:
        """Threads that lend their place while they wait."""
        return RequestThreads(self.cfg.threads)

    def load_wsgi(self) -> None:
        """Load the application, and tell it how to wait."""
        super().load_wsgi()
        state = self._state()
        if state:
            state.waiters.lend = self.tpool.lend_thread

    def accept(self, listener: Any) -> None:
        """Take a connection as gunicorn does, as one of ours."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        sock.setblocking(True)
        self.enqueue_req(Connection(self.cfg, sock, address, listener.getsockname()))

    def handle(self, conn: Connection) -> Any:
        """Serve a request, and those that follow it closely on its connection.

        A request's time begins with its first byte. Handing each to another thread through
        the main one would cost a client that asks one thing after the other a tenth of its
        time; waiting here for its next request costs nobody, while threads are free.
        """
        while True:
            conn.deadline = clock.monotonic() + REQUEST_TIMEOUT
            kept = super().handle(conn)
            if kept is not True or not self.alive or not self._follows(conn):
                return kept

    def _follows(self, conn: Connection) -> bool:
        """Whether the next request comes at once, and this thread may wait for that."""
        if conn.parser.unreader.buf.getvalue():
            return True
        if self.tpool.waiting:
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(PIPELINE_WAIT))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Tell the client of a request that can't be read, or of a failure."""
        # Not at the top: the process that watches over this one loads this module too.
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
            self.log.debug("The client did not stay for its answer")

    def init_process(self) -> None:
        """Serve, and let those go who wait when that is over."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            super().init_process()
        finally:
            self._close()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop gracefully: whoever waits is answered now."""
        super().handle_exit(sig, frame)
        state = self._state()
        if state:
            state.waiters.release()
            state.feed.release()

    def _state(self) -> Any:
        app = getattr(self, "wsgi", None)
        return app.extensions.get("orchestrator") if app else None

    def _close(self) -> None:
        state = self._state()
        if state:
            state.close()
