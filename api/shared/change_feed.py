"""The feed of changed instances, without payloads: one thread a process reads it once and writes it
to all its streams, so that a stream costs a socket and no thread.

Theory of operation. Every `INTERVAL` the thread reads the positions of history that are decided
since its last look, as instances: many changes of one instance are one. It makes the bytes of each
distinct set of namespaces once. A client that reads too slowly gets no backlog: what it missed is
replaced by one message ``lost``, after which it reads anew what it shows.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from orchestrator.clock import monotonic
from orchestrator.database.connection.database import Database
from orchestrator.database.events import change_feed
from orchestrator.database.events.change_feed import Change
from orchestrator.database.events.transition_feed import Horizon
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger

#: Seconds between two looks.
INTERVAL = 0.5
#: Positions of one look. A message names at most `BATCH` instances.
POSITIONS, BATCH = 20_000, 500
#: Positions that a stream is taken up over; an older cursor is lost.
RESUMABLE = 20_000
#: Seconds after which a silent stream gets a comment, so that proxies keep it open.
HEARTBEAT = 15.0
#: Seconds after which a stream ends; the client comes again, and its key is checked again.
LONGEST = 600.0
#: Seconds that the first subscriber waits for transactions that have not committed yet.
START_WAIT = 1.0
#: Streams of one process, and those of one owner of keys: nobody can take all of them.
MOST, MOST_OF_ONE = 5000, 2500

LOST = b"event: lost\ndata: {}\n\n"

log = get_logger(__name__)


class Sink(Protocol):
    """Where a stream is written."""

    def write(self, data: bytes) -> bool:
        """Write without waiting. False: the client does not keep up, and nothing was written.
        Raises `OSError` if it is gone."""

    def close(self) -> None:
        """End the stream."""


class SocketSink:
    """A connection that the server has handed over, in chunks of HTTP/1.1 (RFC 9112, 7.1)."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._rest = b""

    def write(self, data: bytes) -> bool:
        """See `Sink`."""
        if self._rest and not self._send(self._rest):
            return False
        self._send(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def _send(self, data: bytes) -> bool:
        """Send what the kernel takes, and keep the rest of a message that was begun."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        self._rest = data[sent:]
        return not self._rest

    def close(self) -> None:
        """See `Sink`."""
        with suppress(OSError):
            if not self._rest:
                self._socket.send(b"0\r\n\r\n")
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@dataclass(eq=False)
class _Stream:
    """A subscriber; `namespaces` None: all. It is `lost` where it missed changes."""

    sink: Sink
    owner: str
    namespaces: frozenset[str] | None
    since: int
    until: float
    written_at: float = field(default_factory=monotonic)
    lost: bool = False


class ChangeFeed:
    """The feed of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams: set[_Stream] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._horizon = Horizon()
        self._position = 0
        self._closed = False

    def is_full(self, owner: str) -> bool:
        """Whether no further stream of this owner is accepted."""
        streams = tuple(self._streams)
        if self._closed or len(streams) >= MOST:
            return True
        return sum(stream.owner == owner for stream in streams) >= MOST_OF_ONE

    def subscribe(
        self, sink: Sink, owner: str, namespaces: Iterable[str] | None, after: int | None
    ) -> Callable[[], None]:
        """Write the changes to a sink, from now on or after a cursor. Return what ends it."""
        allowed = None if namespaces is None else frozenset(namespaces)
        with self._changed:
            if not self._streams:
                self._position = self._horizon.first_position(self._database, START_WAIT)
            until = monotonic() + LONGEST
            stream = _Stream(sink, owner, allowed, self._position, until)
            self._streams.add(stream)
            self._take_up(stream, after)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="changes", daemon=True)
                self._thread.start()
            self._changed.notify()
        return lambda: self._end(stream)

    def release(self) -> None:
        """End all streams without a lock, for a signal handler, which must take none."""
        self._closed = True
        for stream in tuple(self._streams):
            stream.sink.close()

    def close(self) -> None:
        """End all streams and the thread."""
        with self._changed:
            self.release()
            self._streams.clear()
            self._changed.notify()

    def _take_up(self, stream: _Stream, after: int | None) -> None:
        """Write what changed after a cursor, or that it is too old."""
        if after is None:
            return
        if not self._position - RESUMABLE <= after <= self._position:
            stream.lost = True
            return
        found = change_feed.changes(self._database, after, self._position)
        for message in _messages(_within(found, stream.namespaces), self._position):
            self._write(stream, message)

    def _end(self, stream: _Stream) -> None:
        with self._changed:
            self._streams.discard(stream)

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                while not self._streams and not self._closed:
                    self._changed.wait()
                self._changed.wait(INTERVAL)
            try:
                while self._look() and not self._closed:
                    pass
            except DatabaseUnavailable:
                self._keep_alive()
            except Exception:
                log.exception("The changes can't be read; trying again", action="changes_failed")

    def _look(self) -> bool:
        """Read and write once. Return whether more can be read at once."""
        horizon = self._horizon.decided_position(self._database)
        with self._changed:
            if self._position > self._horizon.last + 1:  # a backup was restored
                self._position = self._horizon.last + 1
                for stream in self._streams:
                    stream.lost = True
            first = self._position
        end = max(first, min(horizon, first + POSITIONS))
        found = change_feed.changes(self._database, first, end) if end > first else []
        with self._changed:
            self._position = max(self._position, end)
            self._distribute(found, end)
        self._keep_alive()
        return end == first + POSITIONS

    def _distribute(self, found: Sequence[Change], end: int) -> None:
        made: dict[frozenset[str] | None, list[bytes]] = {}
        for stream in tuple(self._streams):
            if stream.namespaces not in made:
                within = _within(found, stream.namespaces)
                made[stream.namespaces] = list(_messages(within, end))
            for message in made[stream.namespaces]:
                self._write(stream, message)

    def _keep_alive(self) -> None:
        """Tell what was lost, end what has lasted long enough, and comment on what is silent."""
        now = monotonic()
        with self._changed:
            for stream in tuple(self._streams):
                if stream.until <= now:
                    stream.sink.close()
                    self._streams.discard(stream)
                elif stream.lost:
                    stream.lost = False
                    self._write(stream, LOST)
                elif now - stream.written_at >= HEARTBEAT:
                    # Send the newest position even if nothing of the stream's namespaces has
                    # changed. The client can then resume at it, and proxies see that the stream is
                    # alive.
                    self._write(stream, b"id: %d\n\n" % self._position)

    def _write(self, stream: _Stream, message: bytes) -> None:
        try:
            if stream.lost or not stream.sink.write(message):
                stream.lost = True
            else:
                stream.written_at = monotonic()
        except OSError:
            stream.sink.close()
            self._streams.discard(stream)


def _within(found: Sequence[Change], namespaces: frozenset[str] | None) -> Sequence[Change]:
    if namespaces is None:
        return found
    return [change for change in found if change.namespace in namespaces]


def _messages(found: Sequence[Change], position: int) -> Iterable[bytes]:
    """Yield the messages of changes. Only the last one has the cursor: all are before it."""
    for first in range(0, len(found), BATCH):
        data = orjson.dumps([_json(change) for change in found[first : first + BATCH]])
        id = b"id: %d\n" % position if first + BATCH >= len(found) else b""
        yield b"%bevent: change\ndata: %b\n\n" % (id, data)


def _json(change: Change) -> dict[str, str | int]:
    return {
        "instance": change.instance,
        "namespace": change.namespace,
        "sequence": change.sequence,
        "status": change.status,
        "compensation": change.compensation,
    }
