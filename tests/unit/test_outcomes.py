"""How a task's way of ending reads: what it returned that is no JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.core.model import AttemptState
from orchestrator.execution.step.task_outcome import end_of_return


@dataclass
class Halved:
    half: str

    def __post_init__(self) -> None:
        del self.half


class Broken:
    def __json__(self) -> Any:
        raise LookupError("gone")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"items": [1, {1, 2}]}, {"type": "set", "path": "$.items[1]"}),
        (object(), {"type": "object", "path": "$"}),
        ({"x": float("nan")}, {"type": "float", "path": "$.x"}),
        ([Broken()], {"type": f"{__name__}.Broken", "path": "$[0]"}),
        (Halved("x"), None),
        ("x" * 101, None),
    ],
)
def test_what_cannot_be_kept_says_that_the_work_was_done(value: Any, data: Any) -> None:
    end = end_of_return("a", value, 100)
    assert (end.state, end.outcome_unknown, end.output) == (AttemptState.FAILED, True, None)
    assert end.error["detail"].startswith("the task has done its work and returned, but ")
    assert end.error.get("data") == data
