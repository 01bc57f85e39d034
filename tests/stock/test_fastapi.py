"""A FastAPI project on our base wheel: workflows in code, canvases, the asynchronous client."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.dev import ROOT, Dev
from tests.support.environments import (
    build_wheel,
    clean_environment,
    make_environment,
    requirement,
    run,
)
from tests.support.stack import free_port

SHOP = Path(__file__).parent / "fastapi_shop"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the project's requirements and our base wheel."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    theirs = (SHOP / "requirements.txt").read_text().splitlines()
    folder = tmp_path_factory.mktemp("fastapi")
    return make_environment(folder, *theirs, "pytest", requirement(wheel))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    return shutil.copytree(SHOP, tmp_path_factory.mktemp("project") / "shop")


class Shop:
    """The running application."""

    def __init__(self, url: str, ledger: Path) -> None:
        self.http = httpx2.Client(base_url=url, timeout=60)
        self._ledger = ledger

    def ledger(self) -> list[str]:
        """What tasks did since the last look; no idempotency key may be there twice."""
        lines = self._ledger.read_text().splitlines() if self._ledger.exists() else []
        keys = [line.rpartition(" ")[2] for line in lines]
        assert "-" not in keys and len({*keys}) == len(keys), lines
        self._ledger.unlink(missing_ok=True)
        return [line.rpartition(" ")[0] for line in lines]


@pytest.fixture(scope="module")
def shop(python: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    data, port = tmp_path_factory.mktemp("dev"), free_port()
    ledger = data / "ledger"
    path = os.pathsep.join([str(ROOT), str(project)])
    settings = {"ORCHESTRATOR_IMPORTS": "shop_tasks", "SHOP_LEDGER": str(ledger)}
    dev = Dev(data / "data", PYTHONPATH=path, **settings)
    argv = [str(python), "-m", "uvicorn", "main:app", "--port", str(port), "--log-level=warning"]
    env = {**clean_environment(), "ORCHESTRATOR_API_URL": dev.address, "SHOP_LEDGER": str(ledger)}
    web = subprocess.Popen(argv, cwd=project, env=env)
    made = Shop(f"http://127.0.0.1:{port}", ledger)
    try:
        wait_until_it_answers(made.http, web)
        yield made
    finally:
        made.http.close()
        web.terminate()
        web.wait(30)
        dev.stop(signal.SIGTERM)


def wait_until_it_answers(http: httpx2.Client, web: subprocess.Popen[Any]) -> None:
    for _ in range(600):
        assert web.poll() is None, "the application has ended"
        try:
            assert http.get("/docs").status_code == 200
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the application does not answer")


def test_an_order_runs_as_the_workflow_in_code_says(shop: Shop):
    order = {"item": "book", "quantity": 2, "card": "gold", "discount": 4}
    answer = shop.http.post("/orders/o-1", json=order).json()
    assert answer["output"] == {"reservation": "r-book", "paid": 20}, answer
    assert shop.ledger() == ["reserve book", "charge gold 20"]
    again = shop.http.post("/orders/o-1", json=order).json()
    assert again == answer
    assert shop.ledger() == []
    assert shop.http.get(f"/orders/{answer['id']}/steps").json() == [
        "reserve", "switch", "charge", "summary",
    ]  # fmt: skip
    sequences = shop.http.get(f"/orders/{answer['id']}/progress").text.split()
    assert sequences == [str(number) for number in range(1, len(sequences) + 1)]
    assert len(sequences) >= 3


def test_a_declined_card_undoes_the_reservation(shop: Shop):
    answer = shop.http.post("/orders/o-2", json={"item": "lamp", "card": "empty"}).json()
    assert (answer["status"], answer["undone"]) == ("faulted", "completed")
    assert shop.ledger() == ["reserve lamp", "release r-lamp"]


def test_a_canvas_runs_to_its_end(shop: Shop):
    answer = shop.http.post("/boxes/b-1", json=["pen", "cup", "hat"]).json()
    assert answer["result"] == "b-1: label of pen, label of cup, label of hat"
    assert sorted(shop.ledger()) == ["bundle b-1", "label cup", "label hat", "label pen"]


def test_its_own_tests_pass_without_servers(python: Path, project: Path):
    argv = [str(python), "-m", "pytest", "-q", "shop_checks.py"]
    assert "2 passed" in run(argv, cwd=project, env=clean_environment())


MISTAKES = [
    ("call(reserve,", "call(reserv,", "name-defined"),
    ("quantity=input.quantity", "quantiti=input.quantity", "call-arg"),
    ("item=input.item, ", "", "call-arg"),
    ("quantity=input.quantity", 'quantity="two"', "arg-type"),
    ("release, reservation=result.id", "release, reservation=5", "arg-type"),
]  # fmt: skip


def mypy(python: Path, project: Path) -> subprocess.CompletedProcess[str]:
    options = ["--strict", "--config-file=", "--python-executable", str(python)]
    argv = [sys.executable, "-m", "mypy", *options, "main.py", "shop_checks.py"]
    return subprocess.run(
        argv, cwd=project, env=clean_environment(), capture_output=True, text=True
    )


def test_mypy_accepts_its_code_and_finds_mistakes(python: Path, tmp_path: Path):
    project = shutil.copytree(SHOP, tmp_path / "shop")
    done = mypy(python, project)
    assert done.returncode == 0, done.stdout + done.stderr
    path = project / "shop_workflows.py"
    code = path.read_text()
    for right, wrong, error in MISTAKES:
        assert code.count(right) == 1, right
        path.write_text(code.replace(right, wrong))
        done = mypy(python, project)
        assert f"[{error}]" in done.stdout and "shop_workflows.py:" in done.stdout, done.stdout
