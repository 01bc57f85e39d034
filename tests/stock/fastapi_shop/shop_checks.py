"""The shop's own tests, without servers: ``pytest shop_checks.py``."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_workflows import order

from orchestrator.testing import Workflows


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_LEDGER", str(tmp_path / "ledger"))
    return tmp_path / "ledger"


def test_an_order_is_charged(ledger: Path, workflows: Workflows) -> None:
    run = workflows.run(order.document(), {"item": "book", "quantity": 2, "card": "gold"})
    assert run.output == {"reservation": "r-book", "paid": 24}
    assert [line.split()[0] for line in ledger.read_text().splitlines()] == ["reserve", "charge"]


def test_a_declined_card_releases_the_reservation(ledger: Path, workflows: Workflows) -> None:
    run = workflows.run(order.document(), {"item": "lamp", "quantity": 1, "card": "empty"})
    assert (run.status, run.compensation) == ("faulted", "completed")
    assert [line.split()[0] for line in ledger.read_text().splitlines()] == ["reserve", "release"]
