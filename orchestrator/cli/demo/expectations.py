"""Checks of the demo's result, against the API and the shop's own tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.demo.shop import Row
from orchestrator.client import Run, Step

Tables = dict[str, list[Row]]


@dataclass(frozen=True)
class Check:
    """A statement about the result, with the expected and the actual value."""

    statement: str
    expected: Any
    actual: Any

    @property
    def passed(self) -> bool:
        """Whether the statement is true."""
        return bool(self.expected == self.actual)


def declined_order(
    run: Run, steps: Sequence[Step], tables: Tables, order: str, stock_before: dict[str, int]
) -> list[Check]:
    """Check the order whose worker was killed and whose balance was declined."""
    undone = _compensation(run, steps, tables, order, stock_before)
    return [*undone, *_killed_worker(steps, tables, order)]


def _compensation(
    run: Run, steps: Sequence[Step], tables: Tables, order: str, stock_before: dict[str, int]
) -> Iterator[Check]:
    charges, refunds = _charges(tables, order)
    yield Check("the order faulted", "faulted", run.status)
    yield Check("its compensation completed", "completed", run.compensation)
    yield Check("the stock is the same as before", stock_before, stock(tables))
    yield Check("one charge was made: the deposit", ["deposit"], [row["part"] for row in charges])
    yield Check(
        "that charge was refunded in full",
        [(row["id"], row["amount"]) for row in charges],
        [(row["charge_id"], row["amount"]) for row in refunds],
    )
    yield Check(
        "completed steps were undone in reverse order",
        ["chargeDeposit", "reserveStock"],
        _undone(steps),
    )


def _killed_worker(steps: Sequence[Step], tables: Tables, order: str) -> Iterator[Check]:
    starts = [
        row
        for row in tables["starts"]
        if row["task"] == "charge_deposit" and row["order_id"] == order
    ]
    deposit = next(s for s in steps if s.name == "chargeDeposit" and s.compensates is None)
    killed = [row["worker"] for row in tables["kills"]]
    yield Check("the deposit was started twice", 2, len(starts))
    yield Check("both times with the same idempotency key", 1, len({row["key"] for row in starts}))
    yield Check("its first worker was killed", [row["worker"] for row in starts[:1]], killed)
    yield Check(
        "the first attempt was lost, the second succeeded",
        ["lost", "succeeded"],
        [attempt.state for attempt in deposit.attempts],
    )
    yield Check("another worker started it again", 2, len({row["worker"] for row in starts}))


def paid_order(
    run: Run, tables: Tables, order: str, stock_before: dict[str, int], quantity: int
) -> Iterator[Check]:
    """Check the order that was paid."""
    charges, refunds = _charges(tables, order)
    paid = sum(row["amount"] for row in charges)
    expected = {"order": order, "accepted": True, "paid": paid}
    yield Check("the order completed", "completed", run.status)
    yield Check("its output is the paid amount", expected, run.output)
    yield Check("two charges were made", ["deposit", "balance"], [row["part"] for row in charges])
    yield Check("no refund was made", [], refunds)
    sold = {item: before - stock(tables)[item] for item, before in stock_before.items()}
    yield Check("the goods left the stock", [quantity], [count for count in sold.values() if count])


def no_process_left(alive: dict[int, str]) -> Check:
    """Check that no process of the stack, and none that these started, still runs."""
    return Check("no process is left running", {}, alive)


def stock(tables: Tables) -> dict[str, int]:
    """Return the quantity of each item in stock."""
    return {row["item"]: row["quantity"] for row in tables["stock"]}


def _charges(tables: Tables, order: str) -> tuple[list[Row], list[Row]]:
    charges = [row for row in tables["charges"] if row["order_id"] == order]
    numbers = {row["id"] for row in charges}
    return charges, [row for row in tables["refunds"] if row["charge_id"] in numbers]


def _undone(steps: Sequence[Step]) -> list[str]:
    """Return the names of the undone steps, in the order of their compensations."""
    names = {step.id: step.name for step in steps}
    compensations = [s for s in steps if s.compensates is not None and s.status == "completed"]
    in_order = sorted(compensations, key=lambda step: str(step.data["ended_at"]))
    return [names[s.compensates] for s in in_order if s.compensates is not None]
