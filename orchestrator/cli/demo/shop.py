"""The demo's view of the shop: a separate project, reached through its own command."""

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

#: In a checkout the examples stand beside the packages, in a wheel inside of ours.
_PLACES = (
    Path(__file__).resolve().parents[3] / "examples" / "shop",
    Path(__file__).resolve().parents[2] / "examples" / "shop",
)


@dataclass(frozen=True)
class Shop:
    """The shop's project folder and the database that it shares with us."""

    project: Path
    database_url: str

    @property
    def order(self) -> Path:
        """The order saga."""
        return self.project / "order.yaml"

    def create(self) -> None:
        """Make the shop's tables, goods and cards."""
        self._tables("create")

    def tables(self) -> dict[str, list[Row]]:
        """All rows of the shop, by table."""
        shown: dict[str, list[Row]] = json.loads(self._tables("show"))
        return shown

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
    """Where the shop's project is."""
    for place in _PLACES:
        if (place / "order.yaml").is_file():
            return place
    raise Failure("the demo's project examples/shop is not part of this installation")
