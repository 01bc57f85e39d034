"""The loop of a gevent worker waits for sockets and calls, never longer for one than the other.

A read that waited where it should not would never end here: no timeout is given.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.utils import eventio

from orchestrator.execution.worker import greenlet_loop
from orchestrator.execution.worker.event_loop_calls import EventLoopCalls


class Amqp:
    """A connection of py-amqp whose frames are single bytes; `m` ends a message."""

    def __init__(self, sock: Any) -> None:
        self.connected = True
        self.transport = SimpleNamespace(sock=sock)
        self.read: list[bytes] = []

    def blocking_read(self, timeout: float | None = None) -> bool:
        self.read.append(self.transport.sock.recv(1))
        return self.read[-1] == b"m"


class Consumer:
    """What is used of Celery's consumer."""

    def __init__(self, driver: str, sock: Any = None) -> None:
        self.pending: list[Any] = []
        self.amqp = Amqp(sock)
        poller = vars(eventio)["_select"]()
        cycle = SimpleNamespace(poller=poller)
        transport = SimpleNamespace(driver_type=driver, cycle=cycle)
        self.connection: Any = SimpleNamespace(connection=self.amqp, transport=transport)
        self.event_dispatcher: Any = None

    def call_soon(self, function: Any) -> Any:
        self.pending.append(function)
        return function


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def far(sockets: tuple[socket.socket, socket.socket]) -> socket.socket:
    return sockets[1]


@pytest.fixture
def consumer(sockets: tuple[socket.socket, socket.socket]) -> Consumer:
    return Consumer("amqp", sockets[0])


@pytest.fixture
def calls(consumer: Consumer) -> EventLoopCalls:
    made = EventLoopCalls()
    greenlet_loop.connect(consumer, made)
    return made


def test_a_call_ends_a_read(consumer: Consumer, calls: EventLoopCalls) -> None:
    called: list[int] = []
    calls.call(consumer, lambda: called.append(1))
    consumer.connection.drain_events(timeout=None)
    assert called == [1]
    assert consumer.amqp.read == []


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("name", ["call_soon", "call_soon_ack"])
def test_what_celery_leaves_to_its_loop_ends_a_read(consumer: Consumer, name: str) -> None:
    getattr(consumer, name)(len)
    assert consumer.pending == [len], "the loop's own greenlet writes to the broker"
    consumer.connection.drain_events(timeout=None)


@pytest.mark.usefixtures("calls")
def test_a_read_ends_with_a_message(consumer: Consumer, far: socket.socket) -> None:
    far.send(b"hmm")
    consumer.connection.drain_events(timeout=None)
    assert consumer.amqp.read == [b"h", b"m"]


@pytest.mark.usefixtures("calls")
def test_a_read_ends_with_the_last_frame(consumer: Consumer, far: socket.socket) -> None:
    """Such as the broker's heartbeat, after which no message comes."""
    far.send(b"hh")
    consumer.connection.drain_events(timeout=None)
    assert consumer.amqp.read == [b"h", b"h"]


@pytest.mark.usefixtures("calls")
def test_a_closed_connection_is_not_opened_again(consumer: Consumer) -> None:
    consumer.amqp.connected = False
    with pytest.raises(ConnectionResetError):
        consumer.connection.drain_events(timeout=None)


def test_a_call_may_end_the_connection(consumer: Consumer, calls: EventLoopCalls) -> None:
    def lose() -> None:
        raise ConnectionResetError

    calls.call(consumer, lose)
    with pytest.raises(ConnectionResetError):
        consumer.connection.drain_events(timeout=None)


def test_decrypted_data_are_read(sockets: tuple[socket.socket, socket.socket]) -> None:
    """The system no longer counts them as readable."""
    left = [b"h", b"m"]
    of_tls = SimpleNamespace(
        fileno=sockets[0].fileno, pending=lambda: len(left), recv=lambda _: left.pop(0)
    )
    consumer = Consumer("amqp", of_tls)
    greenlet_loop.connect(consumer, EventLoopCalls())
    consumer.connection.drain_events(timeout=None)
    assert consumer.amqp.read == [b"h", b"m"]


def test_the_events_connection_is_not_waited_for(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    consumer = Consumer("amqp", sockets[0])
    near, far = socket.socketpair()
    with near, far:
        events = Amqp(near)
        of_events: Any = SimpleNamespace(connection=events, supports_heartbeats=True)
        consumer.event_dispatcher = SimpleNamespace(connection=of_events)
        greenlet_loop.connect(consumer, EventLoopCalls())
        of_events.drain_events(timeout=None)
        assert events.read == []
        far.send(b"h")
        of_events.drain_events(timeout=None)
        assert events.read == [b"h"]


def test_a_call_ends_a_poll_of_redis(sockets: tuple[socket.socket, socket.socket]) -> None:
    near, far = sockets
    consumer, calls = Consumer("redis"), EventLoopCalls()
    greenlet_loop.connect(consumer, calls)
    poller = consumer.connection.transport.cycle.poller
    poller.register(near, 1)
    called: list[int] = []
    calls.call(consumer, lambda: called.append(1))
    with pytest.raises(TimeoutError):
        poller.poll(None)
    calls.call(consumer, lambda: called.append(2))
    far.send(b"x")
    assert poller.poll(None) == [(near.fileno(), 1)]
    assert called == [1, 2]


def test_another_transport_is_left_alone() -> None:
    consumer, calls = Consumer("memory"), EventLoopCalls()
    greenlet_loop.connect(consumer, calls)
    calls.call(consumer, list)
    assert consumer.pending == [list], "the loop calls it between two reads"
