"""Many streams of changes on the real server: a socket each, no thread and no connection to
Postgres."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from orchestrator.embedded.supervisor import Process, http_ok
from tests.support.api import document
from tests.support.stack import Stack, free_port

STREAMS = 300


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Stack]:
    broker = "redis://127.0.0.1:1/0"
    with Stack(tmp_path_factory.mktemp("feed"), module_database_url, broker) as stack:
        yield stack


@pytest.fixture(scope="module")
def server(stack: Stack) -> Process:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stack.client.base_url = httpx2.URL(url)
    env = {"ORCHESTRATOR_API_PORT": port, "ORCHESTRATOR_API_THREADS": 2}
    return stack.spawn(
        "api", "-m", "orchestrator.cli", "api", env=env, ready=http_ok(f"{url}/livez")
    )


def open_stream(stack: Stack) -> socket.socket:
    url = urlsplit(str(stack.client.base_url))
    made = socket.create_connection((url.hostname, url.port), timeout=30)
    made.sendall(b"GET /v1/feed HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    received = b""
    while b": here" not in received:
        received += made.recv(4096)
    assert received.startswith(b"HTTP/1.1 200"), received
    return made


def read_change(stream: socket.socket, instance: str) -> None:
    """Read whole chunks until the instance is named."""
    received = b""
    while instance.encode() not in received or not received.endswith(b"\r\n"):
        piece = stream.recv(65536)
        assert piece, "the stream has ended"
        received += piece
    data = re.findall(rb"data: (.*)\n\n", received)
    assert any(change["instance"] == instance for line in data for change in json.loads(line))


def threads_of(processes: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in processes)


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def test_hundreds_of_streams_cost_no_threads_and_all_hear_of_a_change(
    stack: Stack, server: Process
) -> None:
    with contextlib.ExitStack() as streams:
        opened = [streams.enter_context(open_stream(stack))]
        before = threads_of(family(server.pid))
        opened += [streams.enter_context(open_stream(stack)) for _ in range(STREAMS - 1)]
        assert threads_of(family(server.pid)) <= before + 2
        answer = stack.client.post("/v1/workflows", json=document(do=[{"w": {"wait": "PT1H"}}]))
        assert answer.status_code == 201, "other requests are answered"
        body = {"workflow": {"namespace": "shop", "name": "order"}}
        id = stack.client.post("/v1/instances", json=body).json()["id"]
        stack.client.post(f"/v1/instances/{id}/cancel")
        for stream in opened:
            read_change(stream, id)
