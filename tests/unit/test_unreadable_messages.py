"""Which messages a worker drops before Celery uses them, and what it says of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.execution.worker import unreadable_messages
from orchestrator.execution.worker.message_shape import wrong_part
from orchestrator.execution.worker.unreadable_messages import DroppedMessages

GOOD = {"task": "x", "id": "1", "timelimit": [None, 3.5], "eta": None, "retries": 0}


def message(**headers: Any) -> Any:
    return SimpleNamespace(headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        GOOD,
        {**GOOD, "timelimit": None},
        {**GOOD, "timelimit": (0, 10)},
        {**GOOD, "eta": "2026-01-01T00:00:00Z", "expires": 3},
        {"lang": "py"},
        {},
    ],
)
def test_what_celery_and_others_send_is_left_alone(headers):
    assert wrong_part(message(**headers)) is None


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"task": {}}, "task"),
        ({"id": ["x"]}, "id"),
        ({"root_id": []}, "root_id"),
        ({"timelimit": ["a", "b"]}, "timelimit"),
        ({"timelimit": [float("inf"), None]}, "timelimit"),
        ({"timelimit": [-1, None]}, "timelimit"),
        ({"timelimit": [1]}, "timelimit"),
        ({"eta": {}}, "eta"),
        ({"expires": float("nan")}, "expires"),
        ({"retries": True}, "retries"),
    ],
)
def test_a_wrong_type_is_named(changes, part):
    assert part in str(wrong_part(message(**{**GOOD, **changes})))


def test_without_an_id_or_without_headers_it_is_no_message():
    assert "id" in str(wrong_part(message(task="x")))
    assert "headers" in str(wrong_part(SimpleNamespace(headers=[])))  # type: ignore[arg-type]


def test_one_line_a_second_with_the_number_of_the_others(monkeypatch, caplog):
    now = 100.0
    monkeypatch.setattr(unreadable_messages, "monotonic", lambda: now)
    dropped = DroppedMessages()
    for _ in range(5):
        dropped.add(ValueError("x" * 10_000))
    now += unreadable_messages.LOG_INTERVAL
    dropped.add("it has no id")
    assert [(each.others_before, len(each.error)) for each in caplog.records] == [
        (0, 300),
        (4, 12),
    ]
