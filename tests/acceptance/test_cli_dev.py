"""`orchestrator dev`: all of it starts, says where it is, and all of it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from orchestrator.cli.dev.process_scan import is_alive, with_variable
from tests.support.dev import CLI, SHOP, Cli, Dev, environment

ORDER = SHOP / "order.yaml"


def wait_for_the_end_of(pids: list[int]) -> None:
    """Await each process's end through a file descriptor of it."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        try:
            assert poll.poll(30_000), f"process {pid} still runs"
        finally:
            os.close(descriptor)


def test_it_says_where_everything_is(dev: Dev):
    left = dev.json
    assert left["api_url"] == dev.address
    assert left["database_url"].startswith("postgresql://")
    assert left["broker_url"].startswith("redis://")
    assert {"postgres", "valkey", "api", "worker-1", "worker-2", "beat"} <= set(left["pids"])
    assert all(is_alive(pid) for pid in left["pids"].values())
    assert httpx2.get(f"{dev.address}/readyz").status_code == 200
    assert oct((dev.data / "dev.json").stat().st_mode)[-3:] == "600"  # it holds passwords


@pytest.mark.slow
def test_a_signal_ends_all_of_it(tmp_path: Path):
    running = Dev(tmp_path / "data", "--workers", "1")
    pids = list(running.json["pids"].values())
    assert running.stop(signal.SIGINT) == 0
    assert not [pid for pid in pids if is_alive(pid)]
    assert not (running.data / "dev.json").exists()


def wait_for_words(words: str, file: Path, timeout: float = 30) -> None:
    """Until the file has the words."""
    deadline = time.monotonic() + timeout
    while words not in file.read_text():
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.02)  # between two looks


@pytest.mark.slow
def test_what_dies_is_started_again_and_nothing_outlives_it_when_it_is_killed(dev: Dev):
    running = Dev(dev.data.parent / "again", "--workers", "1")
    start = [*CLI, "--url", running.address, "deploy", str(ORDER)]
    subprocess.run(start, env=environment(), check=True)
    before = running.json["pids"]
    os.kill(before["worker-1"], signal.SIGKILL)
    wait_for_the_end_of([before["worker-1"]])
    wait_for_words("worker-1 ended with status -9 and is started again", running.stderr)
    assert running.stop(signal.SIGTERM) == 0

    again = Dev(running.data, "--fresh", "--workers", "1")
    listed = httpx2.get(f"{again.address}/v1/workflows").json()
    assert listed["items"] == []
    pids = list(again.json["pids"].values())
    again.process.kill()
    again.end()
    wait_for_the_end_of(pids)


@pytest.mark.slow
def test_tasks_that_cannot_be_imported_are_an_error_and_leave_nothing(tmp_path: Path):
    done = subprocess.run(
        [*CLI, "dev", "--port", "0", "--data", "data", "--workers", "1"],
        env=environment(ORCHESTRATOR_IMPORTS="no_such_module", ORCHESTRATOR_TEST=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "No module named 'no_such_module'" in done.stderr
    assert with_variable(f"ORCHESTRATOR_TEST={tmp_path}") == {}


@pytest.mark.slow
def test_the_database_can_be_prepared_by_hand(empty_database_url: str):
    def db(command: str) -> subprocess.CompletedProcess[str]:
        url = ["--database-url", empty_database_url]
        return subprocess.run(
            [*CLI, "db", command, *url], env=environment(), capture_output=True, text=True
        )

    before = db("current")
    assert (before.returncode, before.stdout) == (3, "empty\n")
    assert db("upgrade").stdout.startswith("empty -> ")
    after = db("current")
    assert after.returncode == 0
    assert db("upgrade").stdout == f"{after.stdout.strip()}: nothing to do\n"


@pytest.mark.slow
def test_the_doctor_finds_what_is_wrong(dev: Dev, cli: Cli):
    urls = {
        "ORCHESTRATOR_DATABASE_URL": dev.json["database_url"],
        "ORCHESTRATOR_BROKER_URL": dev.json["broker_url"],
        "ORCHESTRATOR_IMPORTS": "shop.tasks",
    }
    well = cli("doctor", "-o", "json", **urls)
    assert well.returncode == 0, well.stdout + well.stderr
    assert {finding["state"] for finding in json.loads(well.stdout)} == {"ok"}

    ill = cli(
        "doctor",
        "-o",
        "json",
        ORCHESTRATOR_DATABASE_URL="postgresql://127.0.0.1:9/none",
        ORCHESTRATOR_BROKER_URL="redis://127.0.0.1:9/0",
        ORCHESTRATOR_API_URL="http://127.0.0.1:9",
        ORCHESTRATOR_IMPORTS="no_such_module",
    )
    assert ill.returncode == 5
    found = {finding["check"]: finding for finding in json.loads(ill.stdout)}
    assert [check for check in found if found[check]["state"] == "failed"] == [
        "database",
        "broker",
        "API",
        "tasks",
    ]
    assert all(found[check]["advice"] for check in ("database", "broker", "API", "tasks"))


def test_a_new_project_runs_as_it_is(dev: Dev, cli: Cli, tmp_path: Path):
    made = cli("init", "trip")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "trip" / "tasks.py").exists()
    assert cli("validate", "trip/trip.yaml").returncode == 0
    again = cli("init", "trip")
    assert again.returncode == 2
    assert "already has" in again.stderr
