"""`orchestrator dev`: all of it starts, says where it is, and all of it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from orchestrator.cli.census import is_alive
from tests.support.dev import CLI, Dev, environment


def wait_for_the_end_of(pids: list[int]) -> None:
    """Await each process's end through a file descriptor of it."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        import select

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
    assert httpx.get(f"{dev.address}/readyz").status_code == 200
    assert oct((dev.data / "dev.json").stat().st_mode)[-3:] == "600"  # it holds passwords


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it_and_the_data_stays(tmp_path: Path, number: int):
    data = tmp_path / "data"
    first = Dev(data)
    pids = list(first.json["pids"].values())
    assert first.stop(number) == 0
    assert not [pid for pid in pids if is_alive(pid)]
    assert not (data / "dev.json").exists()

    if number == signal.SIGTERM:
        again = Dev(data, "--fresh", "--workers", "1")
        assert "worker-2" not in again.json["pids"]
        assert again.stop(number) == 0


def test_nothing_outlives_it_when_it_is_killed(tmp_path: Path):
    killed = Dev(tmp_path / "data", "--workers", "1")
    pids = list(killed.json["pids"].values())
    killed.process.kill()
    killed.end()
    wait_for_the_end_of(pids)


def test_a_worker_that_dies_is_started_again(tmp_path: Path):
    running = Dev(tmp_path / "data", "--workers", "1")
    before = running.json["pids"]
    os.kill(before["worker-1"], signal.SIGKILL)
    wait_for_the_end_of([before["worker-1"]])
    done = subprocess.run(
        [*CLI, "--url", running.address, "list"],
        env=environment(),
        check=False,
    )
    assert done.returncode == 0
    assert running.stop(signal.SIGTERM) == 0
    assert "worker-1 ended with status -9; it starts again" in running.stderr.read_text()


def test_tasks_that_cannot_be_imported_are_an_error_and_leave_nothing(tmp_path: Path):
    done = subprocess.run(
        [*CLI, "dev", "--port", "0", "--data", "data"],
        env=environment(ORCHESTRATOR_IMPORTS="no_such_module"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "No module named 'no_such_module'" in done.stderr
