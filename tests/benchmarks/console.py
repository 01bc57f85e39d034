"""The console in Chromium: time to the first paint, time until it is usable, the longest task.

python -m tests.benchmarks.console      prints a table; SECONDS=600 watches the feed so long
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from tests.benchmarks import documents
from tests.benchmarks.bench_stack import Ground, prepared
from tests.support.console_page import CHROMIUM, Page
from tests.support.large_console import ELEMENTS, ROWS, STEPS, TASKS, TRANSITIONS, Large

TIMES = 5
SECONDS = float(os.environ.get("SECONDS", "60"))
LOOP = {
    "document": {"dsl": "1.0.3", "namespace": "bench", "name": "turns", "version": "1.0.0"},
    "do": [{"rows": {"for": {"in": "${ [1, 2, 3] }"}, "do": [{"turn": {"set": {"a": 1}}}]}}],
}
WATCH = """
window.longest = 0
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) window.longest = Math.max(window.longest, each.duration)
}).observe({ type: 'longtask', buffered: true })
"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
HEAP = "performance.memory.usedJSHeapSize"


def main() -> None:
    """Measure on embedded servers and print."""
    with prepared() as ground, ground.workers(), sync_playwright() as running:
        arguments = ["--no-sandbox", "--enable-precise-memory-info"]
        browser = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        body = ground.stack.deploy(LOOP)
        id = ground.stack.start(body)
        ground.stack.wait(id)
        Console().print(_views(ground, browser, id), _feed(ground, browser))
        browser.close()


def _views(ground: Ground, browser: Any, id: str) -> Table:
    table = Table("view", "first paint, ms", "usable, ms", "longest task, ms", "elements")
    for name, path, shown in (
        (f"list of {ROWS:,} rows", "/instances", ".link-row"),
        (f"{STEPS:,} steps, {TASKS:,} nodes", f"/instances/{id}", ".tl .r"),
        (f"{TRANSITIONS:,} transitions", f"/instances/{id}?tab=history", "[role=row]"),
    ):
        runs = [_opened(ground, browser, id, path, shown) for _ in range(TIMES)]
        middle = [statistics.median(each) for each in zip(*runs, strict=True)]
        table.add_row(name, *(f"{each:.0f}" for each in middle))
    return table


def _opened(
    ground: Ground, browser: Any, id: str, path: str, shown: str
) -> tuple[float, float, float, int]:
    console = Page(browser, str(ground.stack.client.base_url))
    Large(console.page, ground.stack.client, id)
    console.page.add_init_script(WATCH)
    began = time.perf_counter()
    page = console.open(path)
    page.wait_for_selector(shown)
    usable = (time.perf_counter() - began) * 1000
    page.wait_for_load_state("networkidle")
    found = (page.evaluate(FIRST_PAINT), usable, page.evaluate("longest"), page.evaluate(ELEMENTS))
    console.close()
    return found


def _feed(ground: Ground, browser: Any) -> Table:
    """The list and an open history while instances start without a pause."""
    console = Page(browser, str(ground.stack.client.base_url))
    console.page.add_init_script(WATCH)
    page = console.open("/instances")
    page.wait_for_selector(".link-row")
    before = page.evaluate(HEAP)
    body = ground.stack.deploy(documents.sequence(5))
    until, started = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        ground.stack.start(body)
        started += 1
        page.wait_for_timeout(20)  # the page's own work, between two starts
    page.evaluate("window.gc?.()")
    table = Table("feed", "instances", "heap before, MB", "heap after, MB", "longest task, ms")
    heap = [f"{each / 1e6:.1f}" for each in (before, page.evaluate(HEAP))]
    table.add_row(f"{SECONDS:.0f} s", str(started), *heap, f"{page.evaluate('longest'):.0f}")
    console.close()
    return table


if __name__ == "__main__":
    main()
