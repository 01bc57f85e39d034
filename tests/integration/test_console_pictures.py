"""Every view of the console on a shop's data, in both themes: it shows what it is for.

RECORD_SCREENS=1 pytest tests/integration/test_console_pictures.py      records docs/images anew
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.console import pages
from tests.support.console_page import CHROMIUM, Page
from tests.support.gallery import Gallery
from tests.support.png import with_palette
from tests.support.stack import ROOT, Stack

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # of the first: it makes all instances
    pytest.mark.skipif(CHROMIUM is None, reason="this machine has no Chromium"),
    pytest.mark.skipif(
        not (pages.PAGES / "index.html").is_file(), reason="the console is not built (make console)"
    ),
    # Playwright's own event loop and its sockets end with the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDER = ROOT / "docs/images"
SIZE = {"width": 1280, "height": 800}
#: A picture is part of the repository and of its pages, in bytes.
MOST = 100_000
APP = "tests.celery_apps.gallery"


@pytest.fixture(scope="module")
def gallery(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gallery]:
    database_url = request.getfixturevalue("module_database_url")
    broker_url = request.getfixturevalue("module_broker_url")
    folder = tmp_path_factory.mktemp("gallery")
    with Stack(folder, database_url, broker_url, lease=2) as stack:
        stack.api()
        # One of them is killed in the middle of a step, and comes back.
        stack.worker("worker-1", APP, restart=True)
        stack.worker("worker-2", APP, restart=True)
        stack.beat(app=APP)
        made = Gallery(stack.client)
        made.fill()
        yield made


@pytest.fixture(scope="module")
def consoles(gallery: Gallery) -> Iterator[dict[str, Page]]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        root = str(gallery.client.base_url)
        made = {
            theme: Page(browser, root, theme, viewport=SIZE, timezone_id="UTC")
            for theme in ("light", "dark")
        }
        yield made
        browser.close()


#: Name, address (`{o-1}` is the id of an instance, `{o-1 pay}` that of a step), and what stands
#: there once it is drawn.
VIEWS = (
    ("instances", "/instances", "No live worker serves the queue gpu"),
    ("instance", "/instances/{o-1}?step={o-1 chargeDeposit}", "Succeeded"),
    ("loop", "/instances/{may-2026.csv}", "more turns: show all"),
    ("undo", "/instances/{o-1}?tab=undo", "undoes chargeDeposit"),
    ("repair", "/instances/{inv-900}?act=retry", "Nothing is undone"),
    ("compare", "/compare?a={o-1052}&b={o-1051}", "ended otherwise"),
    ("workflow", "/workflows/shop/big-order", "Share of time"),
    ("editor", "/workflows/shop/big-order?tab=document", "As deployed, 2.0.0"),
    ("versions", "/workflows/shop/order?tab=versions", "From 1.0.0 to 1.1.0"),
    ("events", "/events", "o-1632"),
    ("needs", "/needs", "Refund refused"),
    ("schedules", "/schedules", "every 15 min"),
    ("health", "/health", "no consumer"),
    ("audit", "/audit", "not wanted any more"),
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("name", "address", "shown"), VIEWS, ids=[view[0] for view in VIEWS])
def test_view(
    gallery: Gallery,
    consoles: dict[str, Page],
    theme: str,
    name: str,
    address: str,
    shown: str,
) -> None:
    console = consoles[theme]
    page = console.open(
        re.sub(r"\{(\S+?)(?: (\w+))?\}", lambda at: gallery.found(*at.groups()), address)
    )
    playwright.expect(page.get_by_text(shown).first).to_be_visible()
    # The width is the reader's: nothing may be wider.
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    picture(page, FOLDER / f"console-{name}-{theme}.png")
    assert console.problems == []


def picture(page: Any, file: Path) -> None:
    """The picture is there and small; or it is recorded."""
    if os.environ.get("RECORD_SCREENS"):
        page.wait_for_load_state("networkidle")
        page.mouse.move(640, 790)
        file.write_bytes(with_palette(page.screenshot(animations="disabled", caret="hide")))
    assert 5_000 < file.stat().st_size <= MOST, "RECORD_SCREENS=1 records it anew"
