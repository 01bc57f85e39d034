"""The socket of a client. A thread that waits for a slow client frees its slot meanwhile.

Nothing is known about a client before its request has been authenticated, and a client may send or
read a byte a second. So each wait has a deadline, the time that an answer waits for its reader is
bounded by what the reader has read, and the number of waiting threads is bounded: at the bound the
oldest waiting connection of the address with the most of them is cut.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

from api.http.slow_request import SlowRequest
from orchestrator import clock

#: The most threads of a process that wait for clients; each has about 50 kB of memory.
MAX_BLOCKED = 1024
#: Seconds that an answer may wait for its reader, and bytes that give it another second.
WRITE_PATIENCE = 30.0
MIN_READ_RATE = 16 * 1024


T = TypeVar("T")


class BlockedClients:
    """The connections whose threads wait for their clients."""

    def __init__(
        self, lend: Callable[[], AbstractContextManager[None]], most: int = MAX_BLOCKED
    ) -> None:
        self._lend = lend
        self._most = most
        self._lock = threading.Lock()
        #: The oldest first.
        self._waiting: dict[ClientSocket, str] = {}

    @contextmanager
    def wait(self, client: ClientSocket) -> Iterator[None]:
        """While the block waits for a client, another thread may use the slot of this one."""
        with self._lock:
            self._waiting[client] = client.address
            if len(self._waiting) > self._most:
                oldest_of_busiest(self._waiting).cut()
        try:
            with self._lend():
                yield
        finally:
            with self._lock:
                self._waiting.pop(client, None)


def oldest_of_busiest(addresses: dict[T, str]) -> T:
    """Return the first key of the address that most keys have."""
    busiest, _ = Counter(addresses.values()).most_common(1)[0]
    return next(key for key, address in addresses.items() if address == busiest)


class ClientSocket(socket.socket):
    """A connection that has been accepted. For the kernel it never blocks."""

    def __init__(self, accepted: socket.socket, address: str, blocked: BlockedClients) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        super().setblocking(False)
        self.address = address
        #: The monotonic time at which the request must have arrived.
        self.deadline = 0.0
        self._blocked = blocked
        self._timeout: float | None = None
        self._patience = WRITE_PATIENCE
        self._is_cut = False

    def begin_request(self, deadline: float) -> None:
        """Expect a request, until `deadline`."""
        self.deadline = deadline
        self._patience = WRITE_PATIENCE

    def setblocking(self, flag: bool) -> None:
        """Do nothing: `recv` and `sendall` wait, if they wait, without the kernel."""

    def settimeout(self, value: float | None) -> None:
        """Let `recv` wait no longer than this, in seconds, besides the deadline."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return what was set."""
        return self._timeout

    def recv_now(self, size: int) -> bytes | None:
        """Return what has arrived; b"" at the end, None if nothing has."""
        try:
            return super().recv(size)
        except BlockingIOError:
            return None

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive a part of a request. Raises `SlowRequest`, `TimeoutError`."""
        while True:
            try:
                return super().recv(size, flags)
            except BlockingIOError:
                remaining = self.deadline - clock.monotonic()
                if self._timeout is None or self._timeout > remaining:
                    self._await(select.POLLIN, remaining, SlowRequest())
                else:
                    self._await(select.POLLIN, self._timeout, TimeoutError())

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]
        """Send a part of an answer. Raises `BrokenPipeError` if the client reads too slowly."""
        rest = memoryview(data)
        while rest:
            try:
                sent = super().send(rest, flags)
            except BlockingIOError:
                self._await_reader()
            else:
                self._patience += sent / MIN_READ_RATE
                rest = rest[sent:]

    def cut(self) -> None:
        """End the connection. A thread that waits for it continues."""
        self._is_cut = True
        with suppress(OSError):  # the client may have ended it
            self.shutdown(socket.SHUT_RDWR)

    def plain_copy(self) -> socket.socket:
        """Return a handle of the connection for a writer of its own, without these waits."""
        return socket.socket(fileno=os.dup(self.fileno()))

    def _await_reader(self) -> None:
        began = clock.monotonic()
        slow = BrokenPipeError(errno.EPIPE, "the client does not read")
        try:
            self._await(select.POLLOUT, self._patience, slow)
        except BrokenPipeError:
            self.cut()
            raise
        self._patience -= clock.monotonic() - began

    def _await(self, events: int, seconds: float, late: Exception) -> None:
        """Wait until the client sends or reads. Raises `late`."""
        if self._is_cut or seconds <= 0:
            raise late
        poll = select.poll()
        poll.register(self, events)
        with self._blocked.wait(self):
            if not poll.poll(seconds * 1000) or self._is_cut:
                raise late
