"""A process of `orchestrator dev` with the shop's tasks."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "examples" / "shop"

CLI = (sys.executable, "-m", "orchestrator.cli")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of the product, with its packages and the shop's in reach."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORCHESTRATOR_", "SHOP_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SHOP)]), **more}


_prctl = ctypes.CDLL(None).prctl


def _end_with_the_tests() -> None:
    """Be told to stop when the tests' process is killed (PR_SET_PDEATHSIG)."""
    _prctl(1, signal.SIGTERM, 0, 0, 0)


class Dev:
    """A process of `orchestrator dev`, ready."""

    def __init__(self, data: Path, *options: str, **variables: str) -> None:
        self.data = data
        self.stderr = data.parent / f"{data.name}.stderr"
        with self.stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [*CLI, "dev", "--port", "0", "--data", str(data), *options],
                env=environment(**{"ORCHESTRATOR_IMPORTS": "shop.tasks", **variables}),
                cwd=data.parent,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                preexec_fn=_end_with_the_tests,  # noqa: PLW1509  it only makes a system call
            )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()  # it comes when all is ready
        assert self.address, self.stderr.read_text()

    @property
    def json(self) -> dict[str, Any]:
        """What it left for scripts."""
        found: dict[str, Any] = json.loads((self.data / "dev.json").read_text())
        return found

    def stop(self, number: int) -> int:
        """Send it a signal; its exit status."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Wait for its end."""
        assert self.process.stdout is not None
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.stdout.close()
