"""Outgoing requests: where they may go, what bounds them. Nothing here leaves the machine."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import httpx2
import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.outbound import (
    BadResponse,
    Confined,
    InvalidRequest,
    NoAddress,
    OutboundClient,
    Refused,
    TimedOut,
    Unreachable,
)
from orchestrator.outbound.address_guard import Guard
from tests.support.http_stub import CA, Answer, Request, Stub

LOCAL = ["127.0.0.0/8", "::1/128"]


class Spy:
    """Records each address that a socket is asked to connect to."""

    def __init__(self) -> None:
        self.addresses: list[str] = []


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy, connect = Spy(), socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        spy.addresses.append(address[0])
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    return spy


def echo(request: Request) -> Answer:
    return Answer(
        json={"method": request.method, "path": request.path, "query": list(request.query)}
    )


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub(echo) as stub:
        yield stub


REFUSED = [
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[ff02::1]/",
    "http://localhost/",
    "http://user@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://user:password@example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/",
    "ftp://127.0.0.1/",
    "unix:///var/run/docker.sock",
]

#: What names no host, which is no matter of what is allowed.
NOWHERE = [
    "https://",
    "http:///nowhere",
    "http://:80/",
    "http://?x",
    "http:",
    "//127.0.0.1/",
    "/etc/passwd",
    "a/b",
    "",
    "127.0.0.1:80/",
    "localhost:80/",
    "mailto:a@b",
]


@pytest.mark.parametrize("url", NOWHERE)
def test_a_url_without_a_host_is_no_refusal(spy: Spy, url: str) -> None:
    with pytest.raises(NoAddress, match="names no host"):
        OutboundClient(allow=LOCAL).send("GET", url)
    assert not spy.addresses


@pytest.mark.parametrize("url", REFUSED)
def test_refused(spy: Spy, url: str) -> None:
    with pytest.raises((Refused, InvalidRequest)):
        OutboundClient().send("GET", url)
    assert spy.addresses == []


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_the_public_internet_is_open(address: str) -> None:
    assert Guard().is_open(ip_address(address))


@pytest.mark.parametrize(
    ("networks", "address", "found"),
    [
        (["10.1.0.0/16"], "10.1.2.3", True),
        (["10.1.0.0/16"], "10.2.2.3", False),
        (["10.1.0.0/16"], "::ffff:10.1.2.3", True),
        (["64:ff9b::/96"], "64:ff9b::808:808", True),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        ([], "::ffff:8.8.8.8", False),
        (["fd00::/8"], "10.0.0.1", False),
    ],
)
def test_a_setting_opens_networks(networks: list[str], address: str, found: bool) -> None:
    assert Guard(allow=networks).is_open(ip_address(address)) is found


@pytest.mark.parametrize(
    "arguments",
    [
        {"allow": ["intranet"]},
        {"allow": ["example.com"]},
        {"allow": ["example.com:x:127.0.0.1"]},
        {"allow": ["example.com:80:elsewhere"]},
    ],
)
def test_settings_that_cannot_be_read(arguments: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigurationError):
        OutboundClient(**arguments)  # type: ignore[arg-type]


def test_every_address_of_a_name_is_checked(spy: Spy) -> None:
    outbound = OutboundClient(lookup=lambda host, port: ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(Refused, match=r"example\.com has an address.*ORCHESTRATOR_OUTBOUND_ALLOW"):
        outbound.send("GET", "http://example.com/")
    assert spy.addresses == []


def test_the_address_that_was_checked_is_connected_to(spy: Spy, stub: Stub) -> None:
    """A name server that changes its answer is asked once for each connection."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    outbound = OutboundClient(allow=LOCAL, lookup=lambda host, port: next(answers))
    assert outbound.send("GET", f"http://rebind.example:{stub.port}/").status == 200
    assert spy.addresses == ["127.0.0.1"]
    assert outbound.send("GET", f"http://rebind.example:{stub.port}/").status == 200
    assert spy.addresses == ["127.0.0.1"]  # over the connection to the checked address
    with pytest.raises(Refused):  # another connection: it is asked again
        outbound.send("POST", f"http://rebind.example:{stub.port}/")
    assert spy.addresses == ["127.0.0.1"]


@pytest.mark.parametrize("tls", [False, True])
def test_connections_are_used_again(spy: Spy, tls: bool) -> None:
    outbound = OutboundClient(allow=LOCAL, ca=CA)
    with Stub(echo, tls=tls) as stub, Stub(echo) as other:
        for number in range(5):
            assert outbound.send("GET", f"{stub.url}/{number}").status == 200
            assert outbound.send("POST", f"{stub.url}/{number}", content=b"x").status == 200
        assert len(spy.addresses) == 2  # one for requests that may be repeated, one for others
        outbound.send("GET", other.url)
        assert len(spy.addresses) == 3  # another port: another connection
    assert [request.path for request in stub.requests][:3] == ["/0", "/0", "/1"]


def test_threads_share_no_connection_at_a_time() -> None:
    arrived = threading.Barrier(4, timeout=30)

    def together(request: Request) -> Answer:
        arrived.wait()
        return echo(request)

    outbound = OutboundClient(allow=LOCAL)
    with Stub(together) as stub, ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            answers = list(pool.map(lambda n: outbound.send("GET", f"{stub.url}/{n}"), range(4)))
            assert [json.loads(each.content)["path"] for each in answers] == [
                "/0",
                "/1",
                "/2",
                "/3",
            ]


class Closing:
    """A server that closes each connection after some answers, without a word; `reads`: it reads
    one more request before."""

    def __init__(self, answers: int, *, reads: bool) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self.requests = 0
        self._thread = threading.Thread(target=self._serve, args=(answers, reads), daemon=True)
        self._thread.start()

    def _serve(self, answers: int, reads: bool) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                for number in range(answers + reads):
                    if not connection.recv(65536):
                        break
                    self.requests += 1
                    if number < answers:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


@pytest.fixture
def closing() -> Iterator[Callable[..., Closing]]:
    servers: list[Closing] = []

    def start(answers: int, *, reads: bool) -> Closing:
        servers.append(Closing(answers, reads=reads))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_connection_that_the_server_just_closed_costs_nothing(
    closing: Callable[..., Closing], method: str
) -> None:
    server, outbound = closing(1, reads=True), OutboundClient(allow=LOCAL)
    for _ in range(3):
        assert outbound.send(method, server.url).content == b"ok"
    assert server.requests == 5  # two of them met the end of a kept connection


def test_what_cannot_be_repeated_is_sent_once(closing: Callable[..., Closing]) -> None:
    server, outbound = closing(1, reads=True), OutboundClient(allow=LOCAL)
    assert outbound.send("POST", server.url).content == b"ok"
    with pytest.raises(Unreachable):
        outbound.send("POST", server.url)
    assert server.requests == 2


def test_each_request_has_its_own_deadline() -> None:
    asked = threading.Event()

    def slow(request: Request) -> Answer:
        if request.path == "/slow":
            asked.wait(30)
        return echo(request)

    outbound = OutboundClient(allow=LOCAL)
    with Stub(slow) as stub:
        assert outbound.send("GET", f"{stub.url}/a", timeout=30).status == 200
        with pytest.raises(TimedOut):
            outbound.send("GET", f"{stub.url}/slow", timeout=0.2)
        asked.set()
        answer = outbound.send("GET", f"{stub.url}/b", timeout=30)
        assert json.loads(answer.content)["path"] == "/b"  # not the late answer to the other


def test_a_response_that_was_not_read_leaves_no_connection(spy: Spy) -> None:
    outbound = OutboundClient(allow=LOCAL, max_bytes=10)
    with Stub(lambda request: Answer(body=b"x" * 100_000)) as stub:
        for _ in range(2):
            with pytest.raises(BadResponse):
                outbound.send("GET", stub.url)
    assert len(spy.addresses) == 2


def test_a_fork_has_connections_of_its_own(spy: Spy) -> None:
    outbound = OutboundClient(allow=LOCAL)
    with Stub(echo) as stub:
        outbound.send("GET", stub.url)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                outbound.send("GET", stub.url)
                status = 0 if len(spy.addresses) == 2 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        outbound.send("GET", stub.url)
    assert len(spy.addresses) == 1


def test_the_next_address_is_tried(spy: Spy, stub: Stub) -> None:
    outbound = OutboundClient(allow=LOCAL, lookup=lambda host, port: ["127.0.0.9", "127.0.0.1"])
    assert outbound.send("GET", f"http://two.example:{stub.port}/").status == 200
    assert spy.addresses == ["127.0.0.9", "127.0.0.1"]


def test_a_proxy_of_the_environment_is_not_used(
    spy: Spy, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.3:3128")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.3:3128")
    assert OutboundClient(allow=LOCAL).send("GET", stub.url).status == 200
    assert spy.addresses == ["127.0.0.1"]


def test_a_name_has_a_fixed_address_and_an_own_authority() -> None:
    with Stub(echo, tls=True) as stub:
        fixed = [f"petstore.swagger.io:443:127.0.0.1:{stub.port}"]
        response = OutboundClient(allow=fixed, ca=CA).send(
            "GET", "https://petstore.swagger.io/v2/pet"
        )
        assert response.status == 200
        assert stub.requests[0].headers["host"] == "petstore.swagger.io"
        with pytest.raises(Unreachable, match="certificate"):
            OutboundClient(allow=fixed).send("GET", "https://petstore.swagger.io/")
        wrong = [f"elsewhere.org:443:127.0.0.1:{stub.port}"]
        with pytest.raises(Unreachable, match="certificate"):
            OutboundClient(allow=wrong, ca=CA).send("GET", "https://elsewhere.org/")
        with pytest.raises(Refused):
            OutboundClient(allow=fixed, ca=CA).send("GET", f"https://localhost:{stub.port}/")


def redirect_to(*locations: str) -> Callable[[Request], Answer]:
    def handle(request: Request) -> Answer:
        step = int(request.path.strip("/") or 0)
        if step >= len(locations):
            return echo(request)
        return Answer(302, headers={"Location": locations[step]})

    return handle


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://user@localhost/",
        "file:///etc/passwd",
        "gopher://localhost/",
        "//192.168.0.1/",
    ],
)
def test_a_redirect_is_no_way_in(spy: Spy, location: str) -> None:
    with Stub(redirect_to(location)) as stub:
        with pytest.raises(Refused):
            OutboundClient(allow=["127.0.0.0/8"]).send("GET", stub.url, redirects=True)
        assert set(spy.addresses) == {"127.0.0.1"}
        assert len(stub.requests) == 1


def test_redirects_are_followed_only_when_asked_for() -> None:
    with Stub(redirect_to("/1", "/2?x=1")) as stub:
        outbound = OutboundClient(allow=LOCAL)
        assert outbound.send("GET", stub.url).status == 302
        response = outbound.send("GET", stub.url, redirects=True)
        assert response.status == 200
        assert response.url == f"{stub.url}/2?x=1"


def test_credentials_stay_with_their_host() -> None:
    with Stub(echo) as other, Stub(redirect_to(f"http://127.0.0.1:{other.port}/9")) as stub:
        outbound = OutboundClient(allow=LOCAL)
        outbound.send("GET", stub.url, headers=[("Authorization", "Bearer x")], redirects=True)
        assert stub.requests[0].headers["authorization"] == "Bearer x"
        assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "x-api-KEY"])
def test_what_is_confined_stays_with_its_origin_for_good(name: str) -> None:
    """Also where the way leads back. Another port is another origin; the same one is none."""
    ways: dict[str, str] = {}

    def handle(request: Request) -> Answer:
        location = ways.get(request.path)
        return Answer(302, headers={"Location": location}) if location else Answer()

    confined = Confined(frozenset({"X-Api-Key"}))
    with Stub(handle) as first, Stub(handle) as other:
        ways |= {"/a": "/b", "/b": f"{other.url}/c", "/c": f"{first.url}/d"}
        OutboundClient(allow=LOCAL).send(
            "GET",
            f"{first.url}/a",
            headers=[(name, "s3cret"), ("X-Trace", "t")],
            redirects=True,
            confined=confined,
        )
        sent = {r.path: r.headers for r in [*first.requests, *other.requests]}
    assert sent["/a"][name.lower()] == "s3cret"
    # The client itself sends no cookie again, wherever it is redirected to.
    assert ("s3cret" in sent["/b"].values()) is (name != "Cookie")
    assert "s3cret" not in [*sent["/c"].values(), *sent["/d"].values()]
    assert all(headers["x-trace"] == "t" for headers in sent.values())


def test_credentials_do_not_change_to_another_scheme_of_their_host() -> None:
    with Stub(echo, tls=True) as secure, Stub(redirect_to(f"{secure.url}/9")) as plain:
        headers = [("Authorization", "Bearer x")]
        OutboundClient(allow=LOCAL, ca=CA).send("GET", plain.url, headers=headers, redirects=True)
        assert "authorization" not in secure.requests[0].headers


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "PUT"), (301, "PUT")])
def test_a_confined_body_goes_to_no_other_origin(status: int, method: str) -> None:
    def redirect(request: Request) -> Answer:
        location = "/same" if request.path == "/" else f"{other.url}/x"
        return Answer(status, headers={"Location": location})

    with Stub(echo) as other, Stub(redirect) as stub:
        outbound, body = OutboundClient(allow=LOCAL), b"s3cret"
        with pytest.raises(Refused, match="body made with secrets"):
            outbound.send(
                method, stub.url, content=body, redirects=True, confined=Confined(body=True)
            )
        assert [r.body for r in stub.requests] == [body, body]
        assert not other.requests
        outbound.send(method, stub.url, content=b"plain", redirects=True)
        assert other.requests[0].body == b"plain"


def test_a_redirection_that_drops_a_confined_body_is_followed() -> None:
    with Stub(echo) as other, Stub(redirect_to(f"{other.url}/x")) as stub:
        confined = Confined(body=True)
        OutboundClient(allow=LOCAL).send(
            "POST", stub.url, content=b"s3cret", redirects=True, confined=confined
        )
        assert [(r.method, r.body) for r in other.requests] == [("GET", b"")]


def test_a_document_is_fetched_with_credentials_for_its_origin_alone() -> None:
    with Stub(echo) as other, Stub(redirect_to(f"{other.url}/x")) as stub:
        OutboundClient(allow=LOCAL).fetch(stub.url, headers=[("X-Key", "s3cret")])
        assert stub.requests[0].headers["x-key"] == "s3cret"
        assert "x-key" not in other.requests[0].headers


def test_a_circle_of_redirects_ends() -> None:
    with Stub(lambda request: Answer(302, headers={"Location": "/"})) as stub:
        with pytest.raises(BadResponse, match="redirects"):
            OutboundClient(allow=LOCAL, max_redirects=5).send("GET", stub.url, redirects=True)
        assert len(stub.requests) == 6


def endless(stream: Any) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        stream.write(b"x" * 65536)


def dripping(stream: Any) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        stream.write(b"x")
        stream.flush()
        time.sleep(0.02)  # the behaviour under test, not a wait


def silent(stream: Any) -> None:
    time.sleep(1.5)  # the behaviour under test, not a wait


def endless_headers(stream: Any) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        stream.write(b"X-More: " + b"x" * 1000 + b"\r\n")


@pytest.mark.parametrize("raw", [endless, endless_headers])
def test_an_endless_answer_is_cut(raw: Callable[[Any], None]) -> None:
    with Stub(lambda request: Answer(raw=raw)) as stub:
        outbound = OutboundClient(allow=LOCAL, max_bytes=1_000_000)
        with pytest.raises((BadResponse, Unreachable)):
            outbound.send("GET", stub.url)


@pytest.mark.parametrize("raw", [dripping, silent])
def test_a_slow_answer_is_cut(raw: Callable[[Any], None]) -> None:
    with Stub(lambda request: Answer(raw=raw)) as stub:
        start = time.monotonic()
        with pytest.raises(TimedOut):
            OutboundClient(allow=LOCAL, timeout=0.4).send("GET", stub.url)
        with pytest.raises(TimedOut):
            OutboundClient(allow=LOCAL).send("GET", stub.url, timeout=0.4)
        assert time.monotonic() - start < 10


def test_a_slow_name_server_is_cut(spy: Spy) -> None:
    def lookup(host: str, port: int) -> list[str]:
        time.sleep(1)  # the behaviour under test, not a wait
        return ["127.0.0.1"]

    with pytest.raises(TimedOut):
        OutboundClient(allow=LOCAL, lookup=lookup, timeout=0.2).send("GET", "http://slow.example/")
    assert spy.addresses == []


def test_a_compressed_answer_is_read_and_a_bomb_is_not() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    def handle(request: Request) -> Answer:
        body = bomb if request.path == "/bomb" else gzip.compress(b"hello")
        return Answer(body=body, headers={"Content-Encoding": "gzip"})

    with Stub(handle) as stub:
        outbound = OutboundClient(allow=LOCAL, max_bytes=1_000_000)
        assert outbound.send("GET", stub.url).content == b"hello"
        with pytest.raises(BadResponse, match="larger"):
            outbound.send("GET", f"{stub.url}/bomb")


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_answer_that_was_cut_off_is_none(compress: Callable[[bytes], bytes]) -> None:
    whole = compress(b"every byte counts " * 100)

    def handle(request: Request) -> Answer:
        return Answer(body=whole[: int(request.path[1:])], headers={"Content-Encoding": "gzip"})

    with Stub(handle) as stub:
        outbound = OutboundClient(allow=LOCAL)
        for length in (1, 5, len(whole) // 2, len(whole) - 1):
            with pytest.raises(BadResponse, match="cut off"):
                outbound.send("GET", f"{stub.url}/{length}")
        assert outbound.send("GET", f"{stub.url}/0").content == b""
        assert len(outbound.send("GET", f"{stub.url}/{len(whole)}").content) == 1800


def test_every_member_of_a_compressed_answer_is_read() -> None:
    """A gzip file is a series of members (RFC 1952, 2.2); zeros after one are padding."""
    large = gzip.compress(bytes(600_000))
    bodies = {
        "/two": gzip.compress(b"one ") + b"\0" * 7 + gzip.compress(b"two") + b"\0" * 100_000,
        "/many": b"".join(gzip.compress(bytes([n % 256])) for n in range(9_000)),
        "/bomb": large + large,
        "/cut": gzip.compress(b"one") + gzip.compress(b"two")[:-1],
        "/other": gzip.compress(b"one") + b"two",
    }

    def handle(request: Request) -> Answer:
        return Answer(body=bodies[request.path], headers={"Content-Encoding": "gzip"})

    with Stub(handle) as stub:
        outbound = OutboundClient(allow=LOCAL, max_bytes=1_000_000)
        assert outbound.send("GET", f"{stub.url}/two").content == b"one two"
        many = outbound.send("GET", f"{stub.url}/many").content
        assert many == bytes(n % 256 for n in range(9_000))
        for path, why in (("bomb", "larger"), ("cut", "cut off"), ("other", "not gzip")):
            with pytest.raises(BadResponse, match=why):
                outbound.send("GET", f"{stub.url}/{path}")


@pytest.mark.parametrize(
    "headers",
    [
        [("X-A", "a\r\nX-B: b")],
        [("X-A", "a\nb")],
        [("X-A", "a\0")],
        [("X\r\nY", "a")],
        [("X A", "a")],
        [("", "a")],
        [("Host", "elsewhere")],
        [("Content-Length", "1")],
        [("Transfer-Encoding", "chunked")],
    ],
)
def test_headers_that_are_none(spy: Spy, stub: Stub, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest):
        OutboundClient(allow=LOCAL).send("GET", stub.url, headers=headers)
    assert spy.addresses == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/a\r\nHost: x"), ("GET / HTTP/1.1\r\n", "/"), ("CONNECT", "/"), ("TRACE", "/")],
)
def test_requests_that_are_none(spy: Spy, stub: Stub, method: str, path: str) -> None:
    with pytest.raises(InvalidRequest):
        OutboundClient(allow=LOCAL).send(method, f"{stub.url}{path}")
    assert spy.addresses == []


def test_what_is_sent(stub: Stub) -> None:
    response = OutboundClient(allow=LOCAL).send(
        "post",
        f"{stub.url}/a%2Fb/é?x=1",
        headers=[("X-Name", "Zoë")],
        query=[("y", "2 3"), ("y", "é")],
        content=b"body",
    )
    request = stub.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/a%2Fb/%C3%A9", b"body")
    assert request.query == (("x", "1"), ("y", "2 3"), ("y", "é"))
    assert request.headers["x-name"].encode("latin-1").decode() == "Zoë"
    assert response.header("content-TYPE") == "application/json"
    assert (response.method, response.status) == ("POST", 200)


def test_digest_authentication_answers_the_challenge() -> None:
    def handle(request: Request) -> Answer:
        if "authorization" in request.headers:
            return Answer(json=request.headers["authorization"])
        challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'
        return Answer(401, headers={"WWW-Authenticate": challenge})

    with Stub(handle) as stub:
        auth = httpx2.DigestAuth("user", "password")
        assert OutboundClient(allow=LOCAL).send("GET", stub.url, auth=auth).status == 200
        assert 'username="user"' in stub.requests[1].headers["authorization"]


def test_a_closed_port_and_an_unknown_name() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            OutboundClient(allow=LOCAL).send("GET", f"http://127.0.0.1:{free.getsockname()[1]}/")

    def lookup(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(Unreachable, match="not known"):
        OutboundClient(lookup=lookup).send("GET", "http://nobody.example/")


def test_documents_are_fetched_once_a_minute() -> None:
    def handle(request: Request) -> Answer:
        return echo(request) if request.path != "/missing" else Answer(404)

    with Stub(handle) as stub:
        outbound = OutboundClient(allow=LOCAL)
        for _ in range(3):
            assert outbound.fetch(f"{stub.url}/a").status == 200
            assert outbound.fetch(f"{stub.url}/a", headers=[("X-Key", "1")]).status == 200
            assert outbound.fetch(f"{stub.url}/missing").status == 404
        assert [request.path for request in stub.requests].count("/a") == 2
        assert [request.path for request in stub.requests].count("/missing") == 3
