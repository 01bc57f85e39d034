"""The doctor looks at real processes: who is not alive, and who does not fit to the others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.database.schema import upgrade
from orchestrator.embedded.supervisor import log_says
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PLAIN = """\
import os

from celery import Celery

app = Celery("plain", broker=os.environ["ORCHESTRATOR_BROKER_URL"])


@app.task(name="shop.pay")
def pay():
    return None
"""

INSTALLED = (
    PLAIN
    + """
from orchestrator import install

install(app)
"""
)

PAY = """\
document: {dsl: '1.0.3', namespace: shop, name: pay, version: '1.0.0'}
do:
  - pay: {call: shop.pay, metadata: {queue: slow}}
"""

#: What an app is like on a host whose clock is ahead by an hour.
AHEAD = (
    INSTALLED
    + """
import datetime

from orchestrator import clock

now = clock.now
clock.now = lambda: now() + datetime.timedelta(hours=1)
"""
)


@pytest.fixture
def stack(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    for name, text in {"plain": PLAIN, "installed": INSTALLED, "ahead": AHEAD}.items():
        (tmp_path / f"{name}.py").write_text(text)
    with Stack(tmp_path, database_url, broker_url, lease=2) as stack:
        yield stack


def worker(stack: Stack, app: str, *, name: str = "w", **env: Any) -> None:
    stack.worker(name, app, concurrency=1, env={"PYTHONPATH": str(stack.folder), **env})


def doctor(stack: Stack, **settings: Any) -> dict[str, dict[str, Any]]:
    """The findings by what was looked at; of several the last."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "doctor", "-o", "json"],
        env=stack.environment(**settings),
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout, done.stderr
    found = {each["check"]: each for each in json.loads(done.stdout)}
    wrong = {each["state"] for each in found.values()} - {"ok", "note"}
    assert bool(done.returncode) == bool(wrong), done.stdout
    return found


def password(url: str) -> str:
    """The part of a URL that nobody is shown."""
    return f"{urlsplit(url).netloc.rpartition('@')[0]}@" if "@" in url else ""


def test_nobody_is_alive_but_the_api(stack: Stack):
    stack.api()
    found = doctor(stack)
    assert found["workers"]["state"] == "failed"
    assert found["workers"]["found"] == "no worker is alive, so no step runs"
    assert "celery -A yourapp worker" in found["workers"]["advice"]
    assert found["control"]["state"] == "failed"
    assert "the control queue orchestrator" in found["control"]["found"]
    assert found["control"]["advice"] == "start one: orchestrator worker"
    assert found["beat"]["state"] == "failed"
    assert found["beat"]["found"].startswith("no beat is alive")
    assert "orchestrator beat" in found["beat"]["advice"]


def test_everybody_is_alive_and_then_ends(stack: Stack):
    stack.api()
    worker(stack, "installed")
    beat = stack.beat("beat", "installed", env={"PYTHONPATH": str(stack.folder)})
    alive = "select count(*) = 1 from orchestrator.processes where kind = 'beat'"
    stack.until(lambda: stack.sql(alive) == [(True,)], "a beat")
    found = doctor(stack)
    assert {each["state"] for each in found.values()} == {"ok"}, found
    assert found["workers"]["found"] == "1 alive: w@test"
    assert found["control"]["found"].endswith("w@test")
    beat.stop()
    assert doctor(stack)["beat"]["state"] == "failed"


def test_workers_and_none_for_control(stack: Stack):
    stack.api()
    worker(stack, "installed", ORCHESTRATOR_SERVE_CONTROL="false")
    found = doctor(stack)
    assert (found["workers"]["state"], found["control"]["state"]) == ("ok", "failed")
    assert "ORCHESTRATOR_SERVE_CONTROL" in found["control"]["advice"]


def test_a_worker_without_install(stack: Stack):
    stack.api()
    worker(stack, "plain", name="stranger")
    found = doctor(stack)["install"]
    assert found["state"] == "inconsistent"
    assert found["found"].startswith("the Celery worker stranger@test runs no steps")
    assert "install(app)" in found["advice"]
    # Beside one that takes part, it is not wrong: it gets no step of the queue of both.
    worker(stack, "installed", name="able")
    found = doctor(stack)["install"]
    assert found["state"] == "note"
    assert "stranger@test" in found["found"]
    queue = "celery.orchestrator"
    stack.worker("thief", "plain", queues=queue, env={"PYTHONPATH": str(stack.folder)})
    found = doctor(stack)["install"]
    assert found["state"] == "inconsistent"
    assert found["found"].endswith(f"it discards messages of steps in the queue {queue}")


def test_a_stranger_at_the_same_broker_is_no_fault(stack: Stack):
    stack.api()
    worker(stack, "installed", name="able")
    stack.worker("other", "plain", queues="others", env={"PYTHONPATH": str(stack.folder)})
    assert doctor(stack)["install"]["state"] == "note"


def test_another_broker_than_that_of_the_api(stack: Stack):
    stack.api()
    elsewhere = f"{stack.broker_url.rpartition('/')[0]}/5"
    worker(stack, "installed", name="lost", ORCHESTRATOR_BROKER_URL=elsewhere)
    found = doctor(stack)["brokers"]
    assert found["state"] == "inconsistent"
    assert found["found"].startswith("the worker lost@test uses the broker redis://")
    assert "/5, and the API publishes to redis://" in found["found"]
    assert "broker_url of your app" in found["advice"]
    # With settings that name the worker's broker, it is the API that uses another.
    found = doctor(stack, ORCHESTRATOR_BROKER_URL=elsewhere)["brokers"]["found"]
    assert found.startswith("the API on ")
    assert found.endswith(f"these settings name {elsewhere.replace(password(elsewhere), '')}")


def test_a_clock_that_is_wrong(stack: Stack):
    stack.api()
    worker(stack, "ahead", name="early")
    found = doctor(stack)["clocks"]
    assert found["state"] == "inconsistent"
    assert "the clock of the worker early@test is 36" in found["found"]
    assert found["found"].endswith("s ahead of that of Postgres")
    assert "NTP" in found["advice"]


def test_an_old_schema(stack: Stack):
    stack.sql("update orchestrator.schema_version set version_num = '0000'")
    found = doctor(stack)["database"]
    assert found["state"] == "failed"
    assert (
        f"the database's schema is 0000, and this release needs {upgrade.head()}" in found["found"]
    )
    assert found["advice"].startswith("orchestrator db upgrade")


def test_run_says_why_nothing_happens(stack: Stack):
    stack.api()
    (stack.folder / "pay.yaml").write_text(PAY)
    done = run(stack, "--wait", "0.5")
    assert done.returncode == 6
    assert "it makes no progress: 1 start waits; no worker is alive" in done.stderr
    assert "orchestrator why " in done.stderr
    assert "not ended after 0.5 s; it continues: orchestrator watch " in done.stderr
    worker(stack, "installed", ORCHESTRATOR_IMPORTS="")
    # While it waits, and not only when the time is over.
    following = stack.spawn(
        "run",
        "-m",
        "orchestrator.cli",
        "run",
        "pay.yaml",
        ready=log_says("it makes no progress: no live"),
    )
    following.stop()


def run(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "run", "pay.yaml", *options],
        env=stack.environment(),
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
