"""Submitted starts with real processes: an application that is killed right after its commit, and
beats that are killed while they move rows."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from orchestrator.database.access import outbox_grants
from orchestrator.database.connection.database import Database
from orchestrator.outbox import start_in
from tests.support.api import document
from tests.support.stack import Stack

APPLICATION = """
import os, signal, sys
import psycopg2
from orchestrator.outbox import start_in

connection = psycopg2.connect(sys.argv[1])
for end in ("rollback", "commit"):
    id = start_in(connection, "order", {"by": end}, business_id=end)
    getattr(connection, end)()
print(id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def stack(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    database = Database(database_url)
    login = outbox_grants.session_login(database)
    outbox_grants.execute(
        database, outbox_grants.grant_statements(database, login, "shop", 100_000)
    )
    database.close()
    with Stack(tmp_path, database_url, broker_url, lease=2, republish_after=2) as running:
        running.api()
        running.worker(concurrency=2)
        yield running


def killed(stack: Stack) -> str:
    """An application that dies of SIGKILL between its commit and anything that it could do after;
    the id that it was given."""
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION, stack.database_url],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


def test_a_killed_application_starts_what_it_committed_and_no_more(stack: Stack) -> None:
    stack.deploy(document("order"))
    stack.beat()
    id = killed(stack)
    stack.until(
        lambda: bool(stack.sql("select 1 from orchestrator.instances where id = %s", id)),
        "a beat has moved the start",
    )
    assert stack.wait(id)["status"] == "completed"
    assert stack.sql("select business_id from orchestrator.instances") == [("commit",)]


@pytest.mark.slow
def test_beats_that_are_killed_start_each_row_once(stack: Stack) -> None:
    stack.deploy(document("order"))
    beats = [stack.beat(name, restart=True) for name in ("one", "two")]
    submitted = []
    with closing(psycopg2.connect(stack.database_url)) as connection:
        for number in range(400):
            submitted.append(start_in(connection, "order", {"n": number}, notify=number % 3 == 0))
            (connection.rollback if number % 10 == 9 else connection.commit)()
            if number % 40 == 20:
                beats[number // 40 % 2].kill()
    expected = {id for number, id in enumerate(submitted) if number % 10 != 9}
    stack.until(
        lambda: not stack.sql("select 1 from orchestrator_outbox.starts limit 1"),
        "every row is moved",
        timeout=120,
    )
    stack.until(
        lambda: not stack.sql("select 1 from orchestrator.instances where status <> 'completed'"),
        "every instance has completed",
        timeout=120,
    )
    started = stack.sql("select id::text from orchestrator.instances")
    assert {id for (id,) in started} == expected
    assert len(started) == len(expected)
    assert stack.sql("select count(*) from orchestrator.dead_letters") == [(0,)]
