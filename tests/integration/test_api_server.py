"""The server itself, over sockets: what gunicorn and we make of hostile connections."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from api.server.gunicorn_server import is_loopback, needs_keys
from orchestrator.embedded.supervisor import Process, http_ok
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings
from tests.support.api import document
from tests.support.stack import Stack, free_port

THREADS = 3
NO_BROKER = "redis://127.0.0.1:1/0"


IMPATIENT = """\
import api.server.gunicorn_worker
api.server.gunicorn_worker.REQUEST_TIMEOUT = 2.0
from orchestrator.cli import main
main()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("server"), module_database_url, NO_BROKER) as stack:
        yield stack


@pytest.fixture(scope="module", autouse=True)
def server(stack: Stack) -> Process:
    """The API as a process, without any broker, and with little patience."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stack.client.base_url = httpx2.URL(url)
    env = {"ORCHESTRATOR_API_PORT": port, "ORCHESTRATOR_API_THREADS": THREADS}
    return stack.spawn("api", "-c", IMPATIENT, "api", env=env, ready=http_ok(f"{url}/livez"))


def send(stack: Stack, data: bytes, timeout: float = 10) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to raw bytes, after which the server hangs up."""
    url = urlsplit(str(stack.client.base_url))
    with socket.create_connection((url.hostname, url.port), timeout=timeout) as connection:
        with contextlib.suppress(OSError):  # it may answer before it has read everything
            connection.sendall(data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request on a connection that is closed after it."""
    lines = [f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


HOSTILE = {
    "64 KB header": (request("GET /v1/instances", "X: " + "a" * 65536), 431, "headers-too-large"),
    "1,000 headers": (request("GET /v1/instances", *["X: a"] * 1000), 431, "headers-too-large"),
    "long address": (request("GET /v1/instances?q=" + "a" * 9000), 414, "uri-too-long"),
    "length and chunks": (
        request(
            "POST /v1/instances", "Content-Length: 3", "Transfer-Encoding: chunked",
            body=b"0\r\n\r\n",
        ),
        400, "malformed-request",
    ),
    "two lengths": (
        request("POST /v1/instances", "Content-Length: 3", "Content-Length: 4", body=b"abcd"),
        400, "malformed-request",
    ),
    "bad chunk": (
        request(
            "POST /v1/instances", "Transfer-Encoding: chunked", "Content-Type: application/json",
            body=b"zz\r\n\r\n",
        ),
        400, "malformed-request",
    ),
    "unknown transfer coding": (
        request("POST /v1/instances", "Transfer-Encoding: secret", body=b"x"),
        501, "not-implemented",
    ),
    "no HTTP": (b"GARBAGE\r\n\r\n", 400, "malformed-request"),
    "NUL in the path": (request("GET /v1/instances/%00"), 400, "malformed-request"),
    "traversal": (request("GET /v1/instances/../../etc/passwd"), 404, "not-found"),
    "encoded traversal": (request("GET /v1/instances/..%2f..%2fetc"), 404, "not-found"),
    "foreign host": (
        b"GET /v1/instances HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        400, "malformed-request",
    ),
    "TRACE": (request("TRACE /v1/instances"), 405, "method-not-allowed"),
    "method override": (
        request("GET /v1/instances/" + "0" * 8 + "-0000-7000-8000-000000000000",
                "X-HTTP-Method-Override: DELETE"),
        404, "not-found",
    ),
}  # fmt: skip


def test_hostile_requests_are_refused_as_problems(stack: Stack):
    for name, (data, status, slug) in HOSTILE.items():
        found, headers, body = send(stack, data)
        assert (name, found, headers["content-type"]) == (name, status, "application/problem+json")
        assert (name, json.loads(body)["type"].rpartition(":")[2]) == (name, slug)


def test_a_body_over_the_limit_is_a_413_chunked_or_not(stack: Stack):
    large = b" " * (10 << 20)
    kind = "Content-Type: application/json"
    plain = request("POST /v1/instances", kind, f"Content-Length: {len(large)}", body=large)
    chunk = b"%x\r\n%b\r\n" % (len(large), large)
    chunked = request(
        "POST /v1/instances", kind, "Transfer-Encoding: chunked", body=chunk + b"0\r\n\r\n"
    )
    for data in (plain, chunked):
        status, headers, body = send(stack, data)
        assert (status, headers["content-type"]) == (413, "application/problem+json")
        assert b"too-large" in body


def test_a_request_that_drips_is_cut_off(stack: Stack):
    head = request("POST /v1/instances", "Content-Type: application/json", "Content-Length: 99")
    for data in (b"GET /v1/instances HTTP/1.1\r\nHost: loc", head + b"{"):
        began = time.monotonic()
        status, _, body = send(stack, data)
        assert (status, b"request-timeout" in body) == (408, True)
        assert time.monotonic() - began < 5


def test_without_postgres_the_answer_is_a_503(stack: Stack, postgres):
    started = stack.deploy(document())
    postgres.kill()
    try:
        for _ in range(2):
            began = time.monotonic()
            answer = stack.client.post("/v1/instances", json=started)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert answer.json()["type"].endswith(":unavailable")
            assert stack.client.get("/readyz").status_code == 503
            assert time.monotonic() - began < 6
        assert stack.client.get("/livez").status_code == 200
    finally:
        postgres.start()
    stack.until(lambda: stack.client.get("/readyz").status_code == 200, "the API recovers")
    assert stack.client.post("/v1/instances", json=started).status_code == 202


def started(stack: Stack, name: str) -> str:
    """An instance that nobody brings on."""
    assert stack.client.post("/v1/workflows", json=document(name)).status_code == 201
    body = {"workflow": {"namespace": "shop", "name": name}}
    return str(stack.client.post("/v1/instances", json=body).json()["id"])


def test_many_wait_and_stream_and_starve_nobody(stack: Stack):
    id = started(stack, "awaited")
    answers: list[str] = []
    base = stack.client.base_url

    def wait() -> None:
        with httpx2.Client(base_url=base, timeout=120) as client:
            answers.append(client.get(f"/v1/instances/{id}?wait=60").json()["status"])

    def follow() -> None:
        headers = {"Accept": "text/event-stream"}
        with (
            httpx2.Client(base_url=base, timeout=120) as client,
            client.stream("GET", f"/v1/instances/{id}/history", headers=headers) as stream,
        ):
            answers.append("streamed" if b"data:" in stream.read() else "nothing")

    both = [threading.Thread(target=wait, daemon=True) for _ in range(30)]
    both += [threading.Thread(target=follow, daemon=True) for _ in range(10)]
    for thread in both:
        thread.start()
    waiting = f"/v1/instances/{id}"
    for _ in range(20):
        assert stack.client.get(waiting).json()["status"] == "pending"
    assert answers == []
    cancelled = stack.client.post(f"{waiting}/terminate")
    assert cancelled.status_code == 202
    for thread in both:
        thread.join(60)
    assert sorted(answers) == ["cancelled"] * 30 + ["streamed"] * 10


def test_without_authentication_nobody_else_is_let_near():
    def needs(**chosen: str) -> bool:
        return needs_keys(Settings(**chosen))  # type: ignore[arg-type]

    assert not needs(api_host="127.0.0.1")
    assert needs(api_host="127.0.0.1", api_authentication="on")
    assert needs(api_host="0.0.0.0")
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_API_AUTHENTICATION"):
        needs(api_host="0.0.0.0", api_authentication="off")


def test_what_is_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1")))
    with pytest.raises(ConfigurationError):
        is_loopback("example.org")


def test_a_stop_answers_those_who_wait(stack: Stack, server: Process):
    # The last test: afterwards the server is gone.
    id = stack.start(stack.deploy(document()))
    url = urlsplit(str(stack.client.base_url))
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(request(f"GET /v1/instances/{id}?wait=60"))
        # The request is being waited for once a second one has been answered after it.
        assert stack.client.get("/livez").status_code == 200
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < 5
