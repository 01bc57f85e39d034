"""The console of an installed wheel: in an environment of its own, without Node and sources."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import httpx2
import pytest

from api.console import pages
from tests.support.console_page import CHROMIUM, Page
from tests.support.environments import build_wheel, clean_environment, make_environment, requirement
from tests.support.stack import ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="this machine has no Chromium"),
    pytest.mark.skipif(
        not (pages.PAGES / "index.html").is_file(), reason="the console is not built (make console)"
    ),
    # Playwright's own event loop and its sockets end with the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DOCUMENT = """
document: { dsl: '1.0.3', namespace: shop, name: hello, version: '1.0.0' }
do:
  - greet: { set: { hello: '${ $workflow.input.name }' } }
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `orchestrator dev` of the installed wheel serves; nothing of ours is on its paths."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build_wheel(folder)
    extras = ("server", "binary", "embedded")
    python = make_environment(
        folder / "env", requirement(wheel, *extras), constraints=ROOT / "constraints.txt"
    )
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [str(python.parent / "orchestrator"), "dev", "--port", "0", "--workers", "1"],
            env={**clean_environment(), "PATH": str(python.parent)},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    try:
        told = process.stdout.readline().strip()  # it comes when all is ready
        assert told, (folder / "stderr").read_text()
        yield told
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


def test_a_workflow_is_deployed_started_and_seen_in_the_browser(address: str) -> None:
    answer = httpx2.post(
        f"{address}/v1/workflows", content=DOCUMENT, headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 201, answer.text
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        console = Page(browser, address)
        # `/` leads a browser to the console.
        console.page.goto("/")
        console.page.wait_for_url("**/console/instances")
        page = console.open("/workflows/shop/hello")
        page.get_by_role("button", name="Start…").click()
        dialog = page.locator(".dialog")
        dialog.get_by_role("textbox", name="Input").fill('{"name": "Ada"}')
        dialog.get_by_role("button", name="Start", exact=True).click()
        page.wait_for_url("**/console/instances/*")
        playwright.expect(page.locator(".bar")).to_contain_text("Completed")
        page.get_by_role("tab", name="Data").click()
        playwright.expect(page.locator("main")).to_contain_text('"hello": "Ada"')
        browser.close()
    assert console.problems == []
