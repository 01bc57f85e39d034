"""Slow clients: what waits for them, how long, and who is cut where too many are waited for."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.http.slow_request import SlowRequest
from api.server import arriving_requests, client_socket
from api.server.arriving_requests import ArrivingRequests
from api.server.client_socket import BlockedClients, ClientSocket
from orchestrator import clock

SOON = 20
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Lent:
    """Counts the threads that have freed their slots."""

    def __init__(self) -> None:
        self.now = 0
        self.changed = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[None]:
        with self.changed:
            self.now += 1
            self.changed.notify_all()
        yield
        with self.changed:
            self.now -= 1

    def await_one(self) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.now, SOON)


@pytest.fixture
def lent() -> Lent:
    return Lent()


@pytest.fixture
def blocked(lent: Lent) -> BlockedClients:
    return BlockedClients(lent.lend, most=2)


def pair(blocked: BlockedClients, address: str = "a") -> tuple[ClientSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    made = ClientSocket(ours, address, blocked)
    made.begin_request(clock.monotonic() + SOON)
    return made, theirs


def test_a_thread_that_waits_for_a_request_frees_its_slot(lent: Lent, blocked: BlockedClients):
    ours, theirs = pair(blocked)
    with ours, theirs:
        theirs.send(b"a")
        assert ours.recv(10) == b"a"
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(ours.recv(10)))
        thread.start()
        lent.await_one()
        theirs.send(b"b")
        thread.join(SOON)
        assert got == [b"b"]
        assert lent.now == 0


def test_a_request_has_a_deadline(blocked: BlockedClients):
    ours, theirs = pair(blocked)
    with ours, theirs:
        ours.begin_request(clock.monotonic() - 1)
        with pytest.raises(SlowRequest):
            ours.recv(10)
        ours.begin_request(clock.monotonic() + SOON)
        ours.settimeout(0.001)
        with pytest.raises(TimeoutError):
            ours.recv(10)


def test_a_reader_that_does_not_read_is_cut(
    monkeypatch: pytest.MonkeyPatch, blocked: BlockedClients
):
    monkeypatch.setattr(client_socket, "WRITE_PATIENCE", 0.05)
    monkeypatch.setattr(client_socket, "MIN_READ_RATE", 1 << 30)
    ours, theirs = pair(blocked)
    with ours, theirs:
        with pytest.raises(BrokenPipeError):
            ours.sendall(b"x" * (8 << 20))
        with pytest.raises(OSError, match=r"."):
            ours.sendall(b"x" * (8 << 20))


def test_a_reader_that_reads_gets_everything(lent: Lent, blocked: BlockedClients):
    ours, theirs = pair(blocked)
    data = bytes(range(256)) * (16 << 10)

    def send() -> None:
        with ours:
            ours.sendall(data)

    with theirs:
        thread = threading.Thread(target=send)
        thread.start()
        lent.await_one()
        received = b""
        while piece := theirs.recv(1 << 20):
            received += piece
        thread.join(SOON)
    assert received == data


def test_where_too_many_wait_the_oldest_of_the_busiest_address_is_cut(
    lent: Lent, blocked: BlockedClients
):
    """Two may wait: the third cuts one of the address that has two, not the quiet one."""
    clients = [pair(blocked, address) for address in ("quiet", "busy", "busy")]
    ends: list[str] = []

    def receive(name: str, ours: ClientSocket) -> None:
        try:
            ends.append(f"{name} {ours.recv(1)!r}")
        except SlowRequest:
            ends.append(f"{name} was cut")

    threads = []
    for name, (ours, _) in zip(("quiet", "older", "newer"), clients, strict=True):
        thread = threading.Thread(target=receive, args=(name, ours))
        thread.start()
        threads.append(thread)
        with lent.changed:
            assert lent.changed.wait_for(lambda: lent.now == len(threads) or ends, SOON)
    threads[1].join(SOON)
    assert ends == ["older was cut"]
    for _, theirs in clients:
        theirs.close()
    for thread in threads:
        thread.join(SOON)
    assert sorted(ends) == ["newer b''", "older was cut", "quiet b''"]
    for ours, _ in clients:
        ours.close()


class Connection:
    """What the main thread keeps of a connection."""

    def __init__(self, sock: ClientSocket, name: str = "") -> None:
        self.sock = sock
        self.head = bytearray()
        self.name = name


class MainThread:
    """The main thread's part of a server."""

    def __init__(self, blocked: BlockedClients, timeout: float = SOON) -> None:
        self.poller = selectors.DefaultSelector()
        self.passed_on: list[bytes] = []
        self.refused: list[tuple[str, bool]] = []
        self.arriving = ArrivingRequests(
            self.poller, timeout, lambda: timeout, self._pass_on, self._refuse
        )
        self._blocked = blocked
        self._ours: list[ClientSocket] = []

    def _pass_on(self, connection: Connection) -> None:
        self.passed_on.append(bytes(connection.head))

    def _refuse(self, connection: Connection, late: bool) -> None:
        self.refused.append((connection.name, late))

    def client(self, name: str, sent: bytes = b"", address: str = "a") -> socket.socket:
        ours, theirs = socket.socketpair()
        if sent:
            theirs.sendall(sent)
        sock = ClientSocket(ours, address, self._blocked)
        self._ours.append(sock)
        self.arriving.add(Connection(sock, name))
        return theirs

    def turn(self) -> None:
        for key, _ in self.poller.select(SOON):
            key.data(key.fileobj)

    def close(self) -> None:
        self.poller.close()
        for sock in self._ours:
            sock.close()


@pytest.fixture
def main(blocked: BlockedClients) -> Iterator[MainThread]:
    made = MainThread(blocked)
    yield made
    made.close()


def test_a_connection_is_passed_on_with_its_first_complete_head(main: MainThread):
    with main.client("whole", HEAD + b"body"), main.client("parts", HEAD[:-2]) as parts:
        assert main.passed_on == [HEAD + b"body"]
        parts.send(HEAD[-2:])
        main.turn()
        assert main.passed_on[1:] == [HEAD]


def test_what_no_parser_would_take_is_passed_on_for_its_refusal(main: MainThread):
    with main.client("line", b"x" * (arriving_requests.MAX_LINE + 1)):
        assert len(main.passed_on) == 1
    with main.client("half", HEAD[:5]) as half:
        half.shutdown(socket.SHUT_WR)
        main.turn()
        assert main.passed_on[1:] == [HEAD[:5]]


def test_a_client_that_says_nothing_and_goes_is_no_request(main: MainThread):
    main.client("gone").close()
    main.turn()
    assert (main.passed_on, main.refused) == ([], [("gone", False)])


def test_what_is_late_is_refused(blocked: BlockedClients):
    main = MainThread(blocked, timeout=-1.0)
    with main.client("silent"), main.client("half", HEAD[:5]):
        main.arriving.expire(stopping=False)
        assert main.refused == [("silent", False), ("half", True)]
    main.close()


def test_a_stopping_process_refuses_what_has_sent_nothing(main: MainThread):
    with main.client("silent"), main.client("half", HEAD[:5]):
        main.arriving.expire(stopping=True)
        assert main.refused == [("silent", False)]


def test_room_is_made_by_the_address_with_most(main: MainThread):
    with (
        main.client("quiet", address="b"),
        main.client("older"),
        main.client("newer"),
    ):
        assert main.arriving.shed()
        assert main.refused == [("older", False)]
        main.arriving.shed()
        main.arriving.shed()
        assert not main.arriving.shed()


def test_a_last_answer_can_be_read_and_nothing_waits_for_it(main: MainThread):
    ours, theirs = socket.socketpair()
    sock = ClientSocket(ours, "a", main._blocked)
    theirs.send(b"more than was asked for")
    sock.sendall(b"the answer")
    main.arriving.linger(Connection(sock))
    with theirs:
        assert theirs.recv(100) == b"the answer"
        assert theirs.recv(100) == b""
        main.turn()
        assert sock.fileno() >= 0
    main.turn()
    assert sock.fileno() < 0
