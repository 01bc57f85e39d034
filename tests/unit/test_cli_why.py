"""What `why` advises, by the kind of the cause."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.cli.commands.wait_reasons import _advice

CASES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "no-worker", "queue": "slow", "app": None}, "orchestrator worker -Q slow"),
    ({"kind": "no-worker", "queue": "slow", "app": "shop"}, "celery -A shop worker -Q slow"),
    ({"kind": "no-worker", "queue": "a; b", "app": "x y"}, "celery -A 'x y' worker -Q 'a; b'"),
    (
        {"kind": "no-task", "queue": "slow", "app": "shop"},
        "add the task's module to the app shop of a worker of slow",
    ),
    (
        {"kind": "no-task", "queue": "slow", "app": None, "meant": "shop.pay"},
        "correct the name, deploy the document under a new version and start that",
    ),
    ({"kind": "event", "filters": []}, "orchestrator event send TYPE --to 7"),
    (
        {"kind": "event", "filters": [{"with": {"type": "shop.paid"}}]},
        "orchestrator event send shop.paid --to 7",
    ),
    (
        {
            "kind": "event",
            "filters": [
                {"with": {"type": "a b", "source": "/till", "order": "o'1", "data": "${ .x }"}}
            ],
        },
        "orchestrator event send 'a b' --source /till --attribute order='o'\"'\"'1' -d JSON --to 7",
    ),
    ({"kind": "event", "filters": [{"with": {"type": "${ .x }"}}]}, "event send TYPE --to 7"),
]


@pytest.mark.parametrize(("cause", "advice"), CASES)
def test_advice(cause: dict[str, Any], advice: str) -> None:
    printed = _advice({"message": "", **cause}, "7")
    assert printed is not None
    assert printed.endswith(advice)
