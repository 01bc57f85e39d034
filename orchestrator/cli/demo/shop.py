"""The demo's access to the shop, a separate project, through the shop's own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.exit_codes import Failure

Row = dict[str, Any]

#: The project in a checkout, and inside our package in a wheel.
_PROJECTS = (
    Path(__file__).resolve().parents[3] / "examples" / "shop",
    Path(__file__).resolve().parents[2] / "examples" / "shop",
)


@dataclass(frozen=True)
class Shop:
    """The shop's project folder, and the database that it shares with the orchestrator."""

    project: Path
    database_url: str

    @property
    def order(self) -> Path:
        """The document of the order saga."""
        return self.project / "order.yaml"

    def create(self) -> None:
        """Create the shop's tables, goods and cards."""
        self._tables("create")

    def tables(self) -> dict[str, list[Row]]:
        """Return all rows of the shop, by table."""
        tables: dict[str, list[Row]] = json.loads(self._tables("show"))
        return tables

    def _tables(self, command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "shop.tables", command],
            cwd=self.project,
            env={**os.environ, "SHOP_DATABASE_URL": self.database_url},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failure(f"shop.tables {command} failed:\n{done.stderr}")
        return done.stdout


def find_project() -> Path:
    """Return the folder of the shop's project; raise `Failure` if it is not installed."""
    for folder in _PROJECTS:
        if (folder / "order.yaml").is_file():
            return folder
    raise Failure("the demo's project examples/shop is not part of this installation")
