"""mypy checks workflows in code: it accepts correct ones and finds the mistakes in wrong ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TASKS = """
from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal, TypedDict

from celery import Task, shared_task

from orchestrator.dsl import (
    Workflow, call, call_by_name, case, each, expr, for_each, input, result, steps, switch,
    variable, wait,
)


class Card(TypedDict):
    number: str


@shared_task
def reserve(item: str, quantity: int = 1) -> dict[str, Any]:
    return {}


@shared_task(name="shop.charge", acks_late=True)
def charge(amount: Decimal, card: Card, on: date | None = None) -> dict[str, Any]:
    return {}


@shared_task(bind=True)
def release(self: Task[Any, Any], reservation: str, how: Literal["a", "b"] = "a") -> None: ...

"""

CORRECT = """
reserved = call(reserve, item=input.item, quantity=input.lines[0].n + 1)
order = Workflow("shop/order").do(
    reserved.compensate(release, reservation=result.id),
    call(charge, amount=input.total, card=input.card, on=expr(".day")).named("pay"),
    call(charge, Decimal(1), {"number": "1"}, date(2030, 1, 1)).when(input.total > 5),
    for_each("line", each(input.lines, lambda line: line.id), call(reserve, variable.line)),
    switch(paid=case((input.a == 1) & ~input.b, "end"), other=case(None, reserved)),
    wait(timedelta(minutes=1)),
    call_by_name("shop.other", reserved.result.id, steps.pay["id"]),
)
document: dict[str, Any] = order.document()
text: str = order.to_yaml()
"""

#: A line of code, and what mypy says of it.
WRONG = [
    ('call(resreve, item="book")', 'Name "resreve" is not defined'),
    ('call(reserve, itm="book")', 'Unexpected keyword argument "itm"'),
    ("call(reserve, quantity=1)", 'Missing positional argument "item"'),
    ('call(reserve, item="book", quantity="2")', 'Argument "quantity".* expected "int"'),
    ("call(reserve, input.item, 1, 2)", "Too many arguments"),
    ('call(charge, 5.5, {"number": "1"})', 'expected "Decimal"'),
    ('call(reserve, "b").compensate(release, reservation=5)', 'expected "str"'),
    ('call(reserve, "b").compensate(release, reservaton="r")', "Unexpected keyword argument"),
    ('call(release, "r", how="c")', 'expected "Literal'),
    (
        'Workflow("a/b").do(reserve)',
        'expected "orchestrator.dsl.document_task.Task"|expected "Task"',
    ),
    ("wait(5)", 'expected "timedelta'),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What mypy says of each line: correct code first, then the wrong lines."""
    path = tmp_path_factory.mktemp("types") / "shop_workflows.py"
    path.write_text(TASKS + CORRECT + "".join(f"{code}\n" for code, _ in WRONG))
    options = ["--strict", "--no-error-summary", "--show-error-codes", "--config-file="]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines: dict[int, list[str]] = {}
    for text in done.stdout.splitlines():
        place = re.match(r".*shop_workflows\.py:(\d+): (.*)", text)
        assert place, text
        lines.setdefault(int(place[1]), []).append(place[2])
    return lines


def first_wrong() -> int:
    return (TASKS + CORRECT).count("\n") + 1


def test_correct_code_has_no_errors(found: dict[int, list[str]]):
    assert {line: said for line, said in found.items() if line < first_wrong()} == {}


@pytest.mark.parametrize("index", range(len(WRONG)), ids=lambda index: WRONG[index][0])
def test_a_wrong_line_is_found(index: int, found: dict[int, list[str]]):
    said = found.get(first_wrong() + index, [])
    assert any(re.search(WRONG[index][1], message) for message in said), said
