"""The screens in the documentation are what the command line shows.

RECORD_SCREENS=1 pytest tests/acceptance/test_screens.py      records them anew
"""

from __future__ import annotations

import html
import json
import os
import re
import uuid
from pathlib import Path

import pytest

from tests.support.dev import CLI, SHOP, Dev, environment
from tests.support.screens import FOLDER, masked, svg, typed

pytestmark = pytest.mark.slow


def check(name: str, title: str, screen: str) -> None:
    """The recorded screen is this one; or it is recorded."""
    drawn = svg(title, masked(screen))
    file = FOLDER / f"{name}.svg"
    if os.environ.get("RECORD_SCREENS"):
        file.write_text(drawn)
    assert file.read_text() == drawn, f"RECORD_SCREENS=1 records it anew:\n{masked(screen)}"


@pytest.fixture
def type_in(dev: Dev, tmp_path: Path):
    (tmp_path / "order.yaml").write_text((SHOP / "order.yaml").read_text())

    def typing(*arguments: str) -> tuple[str, int]:
        env = environment(ORCHESTRATOR_API_URL=dev.address)
        return typed([*CLI, *arguments], tmp_path, env)

    return typing


def order(card: str) -> str:
    return json.dumps({"id": uuid.uuid4().hex, "item": "desk", "quantity": 1, "card": card})


@pytest.fixture
def declined(type_in) -> tuple[str, str]:
    """The screen and the id of an order that is undone."""
    screen, status = type_in("run", "order.yaml", "-i", order("nearly-empty"))
    assert status == 8, screen
    id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", screen)
    assert id is not None, screen
    return screen, id[0]


def test_run_and_show(type_in, declined: tuple[str, str]):
    screen, id = declined
    check("run", "orchestrator run order.yaml", screen)
    shown, status = type_in("show", id)
    assert status == 0
    check("show", "orchestrator show", shown)


def test_why(type_in, tmp_path: Path):
    (tmp_path / "wait.yaml").write_text(
        "document: { dsl: '1.0.3', namespace: shop, name: paid, version: '1.0.0' }\n"
        "do:\n  - paid: { listen: { to: { one: { with: { type: shop.paid } } } } }\n"
    )
    started, _ = type_in("run", "wait.yaml", "--wait", "1")
    id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", started)
    assert id is not None, started
    screen, status = type_in("why", id[0])
    assert status == 0
    check("why", "orchestrator why", screen)
    type_in("terminate", id[0])


def test_the_demo(tmp_path: Path):
    """Its story differs in detail from run to run: the recorded one is compared by what was
    checked at its end."""
    screen, status = typed([*CLI, "demo", "--data", "data"], tmp_path, environment())
    assert status == 0, screen
    file = FOLDER / "demo.svg"
    if os.environ.get("RECORD_SCREENS"):
        file.write_text(svg("make demo", masked(screen)))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen)
    checks = [line for line in plain.splitlines() if line.startswith("✓")]
    assert checks
    recorded = _letters(html.unescape(re.sub(r"<[^>]+>", "", file.read_text())))
    assert not [line for line in checks if _letters(line) not in recorded]


def _letters(text: str) -> str:
    return "".join(text.split())
