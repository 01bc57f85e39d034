"""`orchestrator dev --app shop --reload`: a project's own app, whose workers follow its code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.dev.kept_ports import KeptPorts
from tests.support.dev import CLI, Dev, environment

APP = """\
from celery import Celery
from kombu import Queue

app = Celery("ours", broker="redis://localhost:1/0")
app.conf.task_queues = [Queue("main"), Queue("money")]
app.conf.task_default_queue = "main"
app.conf.task_routes = {"ours.*": {"queue": "money"}}


@app.task(name="ours.pay")
def pay(amount):
    return {"paid": amount, "version": 1}
"""
DOCUMENT = """\
document: {dsl: '1.0.3', namespace: ours, name: pay, version: '1.0.0'}
do:
  - pay: {call: ours.pay, with: {amount: 3}}
"""


def test_a_port_stays_until_another_process_has_it(tmp_path: Path) -> None:
    ports = KeptPorts(tmp_path / "ports.json")
    port = ports.of("api")
    assert KeptPorts(tmp_path / "ports.json").of("api") == port
    assert ports.of("valkey") != port
    (tmp_path / "ports.json").write_text("no json")
    assert ports.of("api") > 0


def output(dev: Dev) -> dict[str, object]:
    """Run the workflow; return its output."""
    done = subprocess.run(
        [*CLI, "run", "pay.yaml", "--wait", "60"],
        env=environment(ORCHESTRATOR_API_URL=dev.address),
        cwd=dev.data.parent,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)  # poll interval


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_projects_app_its_changes_and_its_servers(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(APP)
    (tmp_path / "pay.yaml").write_text(DOCUMENT)
    options = ("--app", "ours", "--reload", "--workers", "1")
    dev = Dev(tmp_path / "data", *options, ORCHESTRATOR_IMPORTS="")
    try:
        assert output(dev) == {"paid": 3, "version": 1}
        before = dev.json["pids"]
        (tmp_path / "ours.py").write_text(APP.replace('"version": 1', '"version": 2'))
        until(lambda: dev.json["pids"].get("worker-1", 0) != before["worker-1"], "it starts again")
        until(lambda: output(dev)["version"] == 2, "it has the new code")
        os.kill(before["valkey"], signal.SIGKILL)
        until(lambda: dev.json["pids"].get("valkey", 0) != before["valkey"], "Valkey is back")
        assert output(dev) == {"paid": 3, "version": 2}
        address, database = dev.address, dev.json["database_url"]
    finally:
        dev.stop(signal.SIGTERM)
    again = Dev(tmp_path / "data", *options, ORCHESTRATOR_IMPORTS="")
    try:
        assert (again.address, again.json["database_url"]) == (address, database)
    finally:
        again.stop(signal.SIGTERM)


def test_an_app_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CLI, "worker", "--app", "no_such_app"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--app no_such_app: it can't be imported" in done.stderr
    assert "Traceback" not in done.stderr
