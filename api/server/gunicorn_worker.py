"""gunicorn's threaded worker, with time limits for slow clients and problems as errors.

Theory of operation. The main thread keeps a connection until the head of a request has arrived
(`arriving_requests`). A thread that then waits for its client, for the rest of a body or for the
reader of an answer, frees its slot (`client_socket`). So slow clients, however many, cost memory
and no slot.
"""

from __future__ import annotations

import select
import sys
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from api.http import problem_types
from api.http.handed_over import HandedOver
from api.http.problem_types import ProblemType
from api.http.slow_request import SlowRequest
from api.server.arriving_requests import ArrivingRequests
from api.server.client_socket import BlockedClients, ClientSocket
from api.server.request_threads import RequestThreads
from orchestrator import clock

#: Seconds within which a request must arrive completely.
REQUEST_TIMEOUT = 30.0
#: Milliseconds that a thread waits for the next request on its connection.
PIPELINE_WAIT = 5
#: Seconds that a thread runs while other threads wait. With Python's default of 5 ms a hint would
#: be sent only after the answer.
SWITCH_INTERVAL = 0.0005
#: Connections of a process that are kept free for new ones: the oldest idle ones make room.
SPARE = 16

_KINDS: tuple[tuple[type[Exception], ProblemType], ...] = (
    (SlowRequest, problem_types.TIMEOUT),
    (errors.LimitRequestLine, problem_types.URI_TOO_LONG),
    (errors.LimitRequestHeaders, problem_types.HEADERS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, problem_types.NOT_IMPLEMENTED),
    (errors.ParseException, problem_types.MALFORMED),
)


class Connection(TConn):  # type: ignore[misc]  # it has no types
    """A connection. `head`: what the main thread has read of its next request."""

    sock: ClientSocket

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.data_ready = True
        self.head = bytearray()
        #: Whether another thread writes to a duplicate of the socket.
        self.handed_over = False

    def init(self) -> None:
        """Give the parser what the main thread has read."""
        super().init()
        if self.head:
            self.parser.unreader.unread(bytes(self.head))
            self.head.clear()


class Worker(ThreadWorker):  # type: ignore[misc]  # it has no types
    """gunicorn's worker, with `Connection`, `RequestThreads` and problems as error answers."""

    tpool: RequestThreads

    def get_thread_pool(self) -> RequestThreads:
        """Return threads that free their slots while they wait."""
        return RequestThreads(self.cfg.threads)

    def load_wsgi(self) -> None:
        """Load the application, and let its waiting requests free their thread slots."""
        super().load_wsgi()
        state = self._state()
        if state:
            state.waiters.lend = self.tpool.lend_thread

    def run(self) -> None:
        """Serve until the process stops."""
        self._blocked = BlockedClients(self.tpool.lend_thread)
        self._arriving = ArrivingRequests(
            self.poller,
            self.cfg.keepalive,
            lambda: REQUEST_TIMEOUT,
            self.enqueue_req,
            self._refuse,
        )
        super().run()

    def accept(self, listener: Any) -> None:
        """Accept a connection as gunicorn does, as a `Connection`, and await its first request."""
        try:
            accepted, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        if self.nr_conns > self.worker_connections - SPARE:
            self._make_room()
        sock = ClientSocket(accepted, address[0], self._blocked)
        self._arriving.add(Connection(self.cfg, sock, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: Any) -> None:
        """Await the head of the next request on a connection that was idle. Do nothing if the
        connection was closed to make room after this event had been read."""
        if conn not in self.keepalived_conns:
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._arriving.add(conn)

    def murder_keepalived(self, *args: Any, **kwargs: Any) -> None:
        """Close connections whose time is over. gunicorn calls this at least once a second."""
        super().murder_keepalived(*args, **kwargs)
        self._arriving.expire(stopping=not self.alive)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """Await the next request, or close the connection, without waiting for the client."""
        keeps = not fs.cancelled() and fs.exception() is None and fs.result()
        if keeps and conn.parser.unreader.buf.getvalue():
            # The client has sent its next request before it received the answer to its last one.
            # Queue that request behind those of all other clients, so that such a client does not
            # delay them.
            conn.sock.begin_request(clock.monotonic() + REQUEST_TIMEOUT)
            later = self.tpool.submit_later(self.handle, conn)
            later.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))
            return
        if keeps:
            super().finish_request(conn, fs)
            return
        self.nr_conns -= 1
        if conn.handed_over:
            conn.sock.close()  # only our end of it
        else:
            self._arriving.linger(conn)

    def _make_room(self) -> None:
        if not self._arriving.shed() and self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.sock)
            self.nr_conns -= 1
            idle.sock.close()

    def _refuse(self, conn: Connection, late: bool) -> None:
        """Close a connection without a complete request; one that is late gets an answer."""
        self.nr_conns -= 1
        if late:
            with suppress(OSError):  # never waited for
                conn.sock.send(_answer(problem_types.TIMEOUT))
        self._arriving.linger(conn)

    def handle(self, conn: Connection) -> Any:
        """Serve a request, and the requests that follow at once on the same connection.

        The time limit starts when a request is awaited. gunicorn would pass each request to a
        thread through the main thread, which costs a sequential client a tenth of its time.
        """
        while True:
            keep_alive = super().handle(conn)
            if keep_alive is not True or not self.alive or not self._follows(conn):
                return keep_alive
            conn.sock.begin_request(clock.monotonic() + REQUEST_TIMEOUT)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Serve a request. A connection that its answer has handed over is done here."""
        try:
            return super().handle_request(req, conn)
        except HandedOver:
            conn.handed_over = True
            return False

    def _follows(self, conn: Connection) -> bool:
        """Whether the next request comes at once. Do not wait if other requests need a thread."""
        if self.tpool.waiting:
            return False
        if conn.parser.unreader.buf.getvalue():
            return True
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(PIPELINE_WAIT))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a request that cannot be read, or an internal failure, with a problem."""
        kind = next(
            (kind for family, kind in _KINDS if isinstance(exc, family)), problem_types.INTERNAL
        )
        if kind is problem_types.INTERNAL:
            self.log.error("Error handling a request", exc_info=exc)
        try:
            client.sendall(_answer(kind, str(exc) if kind.status == 400 else None))
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


def _answer(kind: ProblemType, detail: str | None = None) -> bytes:
    """Return the last answer on a connection."""
    # Import Flask's part in the serving process, at the first use. gunicorn's main process loads
    # this module too, but needs no Flask.
    from api.http import problems

    body = problems.body_before_request(problems.Problem(kind, detail))
    return (
        f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"
        f"Content-Type: {problems.MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
