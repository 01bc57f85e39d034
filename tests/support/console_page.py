"""A page of the console in Chromium, which must report no error and reach no other host."""

from __future__ import annotations

import shutil
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

#: Reported by the page itself, so that no violation of the policy goes unseen.
REPORTER = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))
"""


class Page:
    """One page of a browser context of its own; `problems` is what it complained about."""

    def __init__(self, browser: Any, root: str, theme: str = "light", **options: Any) -> None:
        self.root = root.rstrip("/")
        self.context = browser.new_context(
            color_scheme=theme, reduced_motion="reduce", base_url=self.root, **options
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.add_init_script(REPORTER)
        self.problems: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", self._requested)

    def _said(self, message: Any) -> None:
        # A refused request is one of the answers that a test asks for.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.root, "data:", "blob:")):
            self.problems.append(f"another host: {request.url}")

    def open(self, path: str) -> Any:
        """Go to an address of the console and return the page once its title stands there."""
        self.page.goto(f"/console{path}")
        self.page.wait_for_selector("main h1")
        return self.page

    def close(self) -> None:
        """Close the context with its pages."""
        self.context.close()
