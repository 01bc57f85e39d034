"""The examples of the scheduling page are documents that can be deployed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.document import load
from orchestrator.scheduler.schedules.policy_options import plans

PAGE = Path(__file__).parents[2] / "docs" / "implementation" / "scheduling.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_has_a_schedule(text):
    loaded = load(text)
    assert loaded.warnings == []
    assert [plan.kind for plan in plans(loaded.document)] == ["cron"]


def test_there_are_examples():
    assert len(EXAMPLES) >= 2
