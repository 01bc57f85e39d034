"""A running `orchestrator dev`, and the command line against it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dev import CLI, Cli, Dev, environment


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One for all tests that only use it."""
    running = Dev(tmp_path_factory.mktemp("dev") / "data")
    subprocess.run(
        [sys.executable, "-m", "shop.tables", "create"],
        env=environment(SHOP_DATABASE_URL=running.json["database_url"]),
        check=True,
    )
    yield running
    running.process.terminate()
    assert running.end() == 0


@pytest.fixture
def cli(dev: Dev, tmp_path: Path) -> Cli:
    """Run the command line against it, in a folder of the test's own."""

    def run(
        *arguments: str, input: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLI, *arguments],
            env=environment(**{"ORCHESTRATOR_API_URL": dev.address, **variables}),
            cwd=tmp_path,
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
