"""The diagrams of the documentation are those of the code as it is."""

from __future__ import annotations

import pytest

from tests.support.diagrams import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_current(page: str):
    made = PAGES[page]()
    assert (ROOT / page).read_text() == made, "run: python -m tests.support.diagrams"


def test_every_component_says_what_it_is():
    rows = [line for line in PAGES["docs/architecture.md"]().splitlines() if "| `" in line]
    assert len(rows) > 15
    assert not [row for row in rows if row.endswith("|  |")]
