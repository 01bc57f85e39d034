"""The types of annotations in whole workflows: what one task returns, the next one gets."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery

from orchestrator import install
from orchestrator.testing import Workflows

WORKFLOW = {
    "document": {"dsl": "1.0.3", "namespace": "shop", "name": "typed", "version": "1.0.0"},
    "do": [
        {"price": {"call": "price"}},
        {"charge": {"call": "charge", "with": {"amount": "${ .amount }", "due": "${ .due }"}}},
    ],
}


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def workflows(seen: list[Any]) -> Workflows:
    app = Celery("typed", set_as_current=False)
    install(app)

    @app.task(name="price", shared=False)
    def price() -> dict[str, Any]:
        return {"amount": Decimal("1.10"), "due": date(2026, 1, 2)}

    @app.task(name="charge", bind=True, shared=False)
    def charge(self: Any, amount: Decimal, due: date | None = None) -> Decimal:
        seen.append((amount, due, self.request.kwargs))
        return amount * 2

    return Workflows(app=app)


def test_a_value_reaches_the_next_task_as_its_type(workflows: Workflows, seen: list[Any]) -> None:
    run = workflows.run(WORKFLOW, {})
    assert (run.status, run.output) == ("completed", "2.20"), run.error
    amount, due, kwargs = seen[0]
    assert (amount, due) == (Decimal("1.10"), date(2026, 1, 2))
    assert kwargs == {"amount": amount, "due": due}


def test_what_does_not_fit_faults_the_step_before_its_body(
    workflows: Workflows, seen: list[Any]
) -> None:
    wrong = {**WORKFLOW, "do": [{"charge": {"call": "charge", "with": {"amount": "much"}}}]}
    run = workflows.run(wrong, {})
    assert (run.status, seen) == ("faulted", [])
    assert run.error["type"].endswith("/validation")
    assert run.error["detail"] == "the argument amount can't be read as Decimal"
