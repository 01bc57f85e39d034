"""A running `orchestrator dev` with the shop's tasks, and the command line against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "examples" / "shop"

CLI = (sys.executable, "-m", "orchestrator.cli")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of the product, with its packages and the shop's in reach."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORCHESTRATOR_", "SHOP_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SHOP)]), **more}


class Dev:
    """A process of `orchestrator dev`, ready."""

    def __init__(self, data: Path, *options: str, **variables: str) -> None:
        self.data = data
        self.stderr = data.parent / f"{data.name}.stderr"
        with self.stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [*CLI, "dev", "--port", "0", "--data", str(data), *options],
                env=environment(ORCHESTRATOR_IMPORTS="shop.tasks", **variables),
                cwd=data.parent,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()  # it comes when all is ready
        assert self.address, self.stderr.read_text()

    @property
    def json(self) -> dict[str, Any]:
        """What it left for scripts."""
        found: dict[str, Any] = json.loads((self.data / "dev.json").read_text())
        return found

    def stop(self, signal: int) -> int:
        """Send it a signal; its exit status."""
        self.process.send_signal(signal)
        return self.end()

    def end(self) -> int:
        """Wait for its end."""
        assert self.process.stdout is not None
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.stdout.close()


@pytest.fixture(scope="session")
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

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLI, *arguments],
            env=environment(ORCHESTRATOR_API_URL=dev.address, **variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
