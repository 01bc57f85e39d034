"""The doctor on the running product: what only real workers and a real broker can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.embedded.supervisor import log_says
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TASKS = """\
import time
from celery import shared_task


@shared_task
def greet(name):
    return {"greeting": f"Hello {name}"}


@shared_task
def sleep(seconds):
    time.sleep(seconds)
"""


def document(name: str, task: str, given: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    step = {"call": f"doctored.{task}", "with": given, "metadata": metadata}
    return {
        "document": {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"},
        "do": [{task: step}],
    }


@pytest.fixture
def stack(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    """Without a beat: what beats mend by themselves is the doctor's here."""
    (tmp_path / "doctored.py").write_text(TASKS)
    settings = {"imports": "doctored", "lease": 2, "continuation_budget": 0}
    with Stack(tmp_path, database_url, broker_url, **settings) as stack:
        stack.api()
        stack.spawn(
            "worker",
            *("-m", "orchestrator.cli", "worker", "-c", "1", "--remote-control"),
            ready=log_says(" ready."),
            tier=3,
        )
        yield stack


def doctor(stack: Stack, *options: str) -> dict[str, dict[str, Any]]:
    """The findings by their kind, once they are old enough."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "doctor", "-o", "json", *options],
        env=stack.environment(),
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout, done.stderr
    return {each["check"]: each for each in json.loads(done.stdout)}


def older(stack: Stack) -> None:
    """What waits has waited for an hour."""
    stack.sql(
        "update orchestrator.attempts set created_at = created_at - interval '1 h',"
        " published_at = published_at - interval '1 h', claimed_at = claimed_at - interval '1 h'"
    )


def test_a_live_worker_is_told_to_serve_a_queue_that_nobody_serves(stack: Stack):
    id = stack.start(stack.deploy(document("away", "greet", {"name": "Ada"}, queue="nobodys")))
    ready = "select count(*) = 1 from orchestrator.attempts where state = 'ready'"
    stack.until(lambda: stack.sql(ready) == [(True,)], "an attempt")
    older(stack)
    assert doctor(stack)["queue-without-consumer"]["state"] == "inconsistent"
    assert doctor(stack, "--repair")["queue-without-consumer"]["state"] == "repaired"
    assert stack.wait(id)["output"] == {"greeting": "Hello Ada"}


def test_a_worker_that_was_killed_and_a_broker_that_was_flushed(stack: Stack, broker_url: str):
    id = stack.start(stack.deploy(document("long", "sleep", {"seconds": 60})))
    claimed = "select count(*) = 1 from orchestrator.attempts where state = 'claimed'"
    stack.until(lambda: stack.sql(claimed) == [(True,)], "a claim")
    ((pid,),) = stack.sql("select pid from orchestrator.workers where stopped_at is null")
    os.kill(pid, signal.SIGKILL)
    gone = "select last_heartbeat_at < now() - interval '5 s' from orchestrator.workers"
    stack.until(lambda: stack.sql(gone) == [(True,)], "silence")
    older(stack)
    assert doctor(stack, "--repair")["lease-without-worker"]["state"] == "repaired"
    states = "select state from orchestrator.attempts order by number"
    assert stack.sql(states) == [("lost",), ("ready",)]

    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    older(stack)
    assert doctor(stack)["lost-message"]["instance"] == id
    assert doctor(stack, "--repair")["lost-message"]["state"] == "repaired"
    stack.worker("another", app="workers.app", concurrency=1)
    stack.until(lambda: stack.sql(claimed) == [(True,)], "another claim")
