"""The page of our words in documents has all of them, and its documents are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.document import load
from orchestrator.document.dsl_schema.metadata_extensions import (
    CELERY,
    COMPENSATION,
    DOCUMENT,
    SCHEDULE,
    TASK,
)

TEXT = (Path(__file__).parents[2] / "docs/interfaces/documents.md").read_text(encoding="utf-8")
WORDS = {*TASK, *COMPENSATION, *DOCUMENT, *SCHEDULE, *CELERY["properties"]}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_is_on_the_page(word: str):
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert any(f"`{word}`" in row for row in rows)


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
def test_the_documents_of_the_page_are_valid(text: str):
    assert load(text.encode(), "application/yaml").warnings == []
