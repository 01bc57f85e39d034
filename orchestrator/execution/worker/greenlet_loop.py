"""Lets the loop of a gevent worker wait for its broker and for calls of other greenlets at once.

Celery has no event loop for greenlets. Its main greenlet reads from the broker for up to 2 seconds,
and only between two reads it sends acknowledgements (before Celery 5.7), asks Redis for the next
message and calls what other greenlets have passed to it. With all slots acknowledged late, RabbitMQ
then sends one batch of messages in 2 seconds. Since 5.7, the loop also waits 0.1 seconds after each
message of RabbitMQ for the connection of the worker's events: 10 messages a second.

Here the loop waits for the sockets and for the pipe of `EventLoopCalls`. Everything that writes to
the broker still runs in the loop's own greenlet: two greenlets could mix the frames of AMQP.
"""

from __future__ import annotations

import select
from typing import Any

from kombu.utils.eventio import READ

from orchestrator.execution.worker.event_loop_calls import EventLoopCalls


def connect(consumer: Any, calls: EventLoopCalls) -> None:
    """Let `calls` end a read of this consumer. Call it at each (re)connect.

    A transport other than RabbitMQ's and Redis's is not changed."""
    connection = consumer.connection
    driver = connection.transport.driver_type
    if driver == "amqp":
        connection.drain_events = _AmqpReader(connection, calls).drain
        _read_events_without_waiting(consumer.event_dispatcher)
    elif driver == "redis":
        cycle = connection.transport.cycle
        cycle.poller = _RedisPoller(cycle.poller, calls)
    else:
        return
    _wake_for_calls(consumer, calls)


def _wake_for_calls(consumer: Any, calls: EventLoopCalls) -> None:
    """Let what Celery itself leaves to its loop, such as an acknowledgement, end a read."""
    add = type(consumer).call_soon.__get__(consumer)

    def call_soon(*args: Any, **options: Any) -> Any:
        added = add(*args, **options)
        calls.wake()
        return added

    # Replace `call_soon_ack` too: since release 5.7, Celery calls it for acknowledgements, in the
    # greenlet of the task.
    consumer.call_soon = consumer.call_soon_ack = call_soon


def _read_events_without_waiting(dispatcher: Any) -> None:
    """Let the loop take the heartbeats of the events' connection only if some have arrived."""
    connection = getattr(dispatcher, "connection", None)
    if connection is not None and connection.supports_heartbeats:
        connection.drain_events = _AmqpReader(connection, None).drain


class _AmqpReader:
    """Reads frames of one connection to RabbitMQ once they have arrived."""

    def __init__(self, connection: Any, calls: EventLoopCalls | None) -> None:
        self._amqp = connection.connection
        self._calls = calls
        if calls is not None:
            self._reader = calls.open()

    def drain(self, timeout: float | None = None) -> None:
        """Wait for frames or a call, at most `timeout` seconds, and read to the end of a message,
        or as far as frames have arrived. Without calls, wait for nothing.

        Raises:
            OSError: the connection is lost, as from py-amqp itself. A call may raise it too.
        """
        if self._calls is None:
            has_frame = self._has_frame()
        else:
            is_called, has_frame = self._wait(timeout)
            if is_called:
                self._calls.run()
        while has_frame and not self._amqp.blocking_read(timeout):
            has_frame = self._has_frame()

    def _wait(self, timeout: float | None) -> tuple[bool, bool]:
        """Return whether there are calls, and whether there is a frame."""
        sock = self._socket()
        has_decrypted = _has_decrypted(sock)
        ready = select.select([self._reader, sock], [], [], 0 if has_decrypted else timeout)[0]
        return self._reader in ready, has_decrypted or sock in ready

    def _has_frame(self) -> bool:
        sock = self._socket()
        return _has_decrypted(sock) or bool(select.select([sock], [], [], 0)[0])

    def _socket(self) -> Any:
        # Raise an error if the connection is closed, so that Celery connects again. py-amqp would
        # connect by itself, but without the consumers.
        if not self._amqp.connected:
            raise ConnectionResetError("the connection to the broker is closed")
        return self._amqp.transport.sock


def _has_decrypted(sock: Any) -> bool:
    """Return whether a socket of TLS has data that the system does not count as readable."""
    return hasattr(sock, "pending") and sock.pending() > 0


class _RedisPoller:
    """Adds calls to the sockets for which kombu's Redis transport waits (`MultiChannelPoller`)."""

    def __init__(self, poller: Any, calls: EventLoopCalls) -> None:
        self._poller = poller
        self._calls = calls
        self._reader = calls.open()
        poller.register(self._reader, READ)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return the events of the transport's sockets.

        Raises:
            TimeoutError: there was none, but a call. The loop goes on, and asks for messages again.
        """
        events = dict(self._poller.poll(timeout) or ())
        if events.pop(self._reader, None):
            self._calls.run()
            if not events:
                raise TimeoutError
        return list(events.items())
