"""Flower, as it is, shows steps: their names, arguments, states; each attempt links to its page."""

from __future__ import annotations

import html
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.embedded.supervisor import http_ok
from tests.support.dev import Dev
from tests.support.stack import free_port
from tests.support.zoo import APP, zoo_on

CARD = "4111-1111-1111-1111"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("budget", ["0.1", "0"], ids=["continued", "by message"])
def test_a_step_has_its_page(
    tmp_path: Path, database_url: str, broker_url: str, budget: str
) -> None:
    (tmp_path / "secrets" / "zoo").mkdir(parents=True)
    (tmp_path / "secrets" / "zoo" / "card").write_text(CARD)
    address = f"http://127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "flower_url": f"{address}/",
        "secrets_dir": tmp_path / "secrets",
        "continuation_budget": budget,
    }
    with zoo_on(tmp_path, database_url, broker_url, **settings) as zoo:
        stack = zoo.stack
        zoo.worker(arguments=("-E",))
        port = address.rpartition(":")[2]
        stack.spawn(
            "flower",
            *("-m", "celery", "-A", APP, "flower", "--address=127.0.0.1", f"--port={port}"),
            env=zoo.environment,
            ready=http_ok(f"{address}/healthcheck"),
            timeout=120,
        )
        # Flower has heard of the worker: it listens.
        stack.until(lambda: "worker@test" in httpx2.get(address).text, "Flower sees the worker")
        document = {
            "document": {"dsl": "1.0.3", "namespace": "zoo", "name": "n", "version": "1.0.0"},
            "use": {"secrets": ["card"]},
            "do": [
                {"sum": {"call": "zoo.plain", "with": {"a": 20, "b": 22}}},
                {"pay": {"call": "zoo.plain", "with": {"a": "${ $secrets.card }", "b": "!"}}},
                {"fail": {"call": "zoo.fails"}},
            ],
        }
        ended = stack.run(document)
        assert ended["error"]["title"] == "ValueError", (ended["error"], stack.logs())

        steps = stack.client.get(f"/v1/instances/{ended['id']}/steps").json()["items"]
        added, paid, failed = (page(zoo.stack, each) for each in steps)
        assert "zoo.plain" in added
        assert "{'a': 20, 'b': 22}" in added
        assert "SUCCESS" in added
        assert CARD not in paid
        assert "zoo.plain" in paid
        assert "FAILURE" in failed
        assert "ValueError" in failed


def page(stack: Any, step: dict[str, Any]) -> str:
    """The page that a step's attempt links to, once Flower has heard how it ended."""
    (attempt,) = step["attempts"]
    told: list[str] = []

    def ended() -> bool:
        answer = httpx2.get(attempt["flower_url"])
        told[:] = [html.unescape(answer.text)]
        return answer.status_code == 200 and ("SUCCESS" in told[0] or "FAILURE" in told[0])

    stack.until(ended, f"the page {attempt['flower_url']}")
    return told[0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_in_dev_it_asks_for_a_password(tmp_path: Path) -> None:
    dev = Dev(tmp_path / "data", "--workers", "1", "--flower")
    try:
        left = dev.json
        url = f"{left['flower_url']}/api/workers"
        deadline, well = time.monotonic() + 120, http_ok(f"{left['flower_url']}/healthcheck")
        while not well(None):  # type: ignore[arg-type]
            assert time.monotonic() < deadline
            time.sleep(0.1)  # between two looks
        assert httpx2.get(url).status_code == 401
        user, _, password = left["flower_login"].partition(":")
        assert httpx2.get(url, auth=(user, "wrong")).status_code == 401
        assert httpx2.get(url, auth=(user, password)).status_code == 200
        assert left["flower_login"] in dev.stderr.read_text()
    finally:
        assert dev.stop(signal.SIGINT) == 0
