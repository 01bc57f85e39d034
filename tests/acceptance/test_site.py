"""The documentation's site: it builds without a warning, and every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dev import ROOT

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    folders = (ROOT / "docs", ROOT / "examples")
    return [*ROOT.glob("*.md"), *(file for folder in folders for file in folder.rglob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path):
    text = FENCE.sub("", page.read_text())
    dead = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not dead


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    strict = ["--fail-on-warning", "--keep-going", "--quiet"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, str(ROOT / "docs"), str(tmp_path / "site")],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "overview.html").read_text()
    assert 'href="architecture.html"' in page


def test_every_page_is_in_the_index():
    """Every page is in the index: readers find no other page."""
    index = (ROOT / "docs" / "index.md").read_text()
    missing = []
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs")).removesuffix(".md")
        if name != "index" and name not in index and f"{name.rpartition('/')[0]}/*" not in index:
            missing.append(name)
    assert not missing
