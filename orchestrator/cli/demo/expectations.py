"""What must be true after the demo, checked against the API and the shop's own tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.demo.shop import Row
from orchestrator.client import Run, Step

Tables = dict[str, list[Row]]


@dataclass(frozen=True)
class Check:
    """Something that must be so, and what was found."""

    what: str
    expected: Any
    found: Any

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return bool(self.expected == self.found)


def of_the_declined_order(
    run: Run, steps: Sequence[Step], tables: Tables, order: str, stock_before: dict[str, int]
) -> list[Check]:
    """The order whose worker was killed and whose balance was declined."""
    ended = _of_the_undoing(run, steps, tables, order, stock_before)
    return [*ended, *_of_the_kill(steps, tables, order)]


def _of_the_undoing(
    run: Run, steps: Sequence[Step], tables: Tables, order: str, stock_before: dict[str, int]
) -> Iterator[Check]:
    charges, refunds = _charges(tables, order)
    yield Check("the order faulted", "faulted", run.status)
    yield Check("its compensation completed", "completed", run.compensation)
    yield Check("the stock is as before", stock_before, stock(tables))
    yield Check("one charge: the deposit", ["deposit"], [row["part"] for row in charges])
    yield Check(
        "one refund, of that charge, in full",
        [(row["id"], row["amount"]) for row in charges],
        [(row["charge_id"], row["amount"]) for row in refunds],
    )
    yield Check("undone in reverse order", ["chargeDeposit", "reserveStock"], _undone(steps))


def _of_the_kill(steps: Sequence[Step], tables: Tables, order: str) -> Iterator[Check]:
    starts = [
        row
        for row in tables["starts"]
        if row["task"] == "charge_deposit" and row["order_id"] == order
    ]
    deposit = next(s for s in steps if s.name == "chargeDeposit" and s.compensates is None)
    killed = [row["worker"] for row in tables["kills"]]
    yield Check("the deposit was started twice", 2, len(starts))
    yield Check("under one key", 1, len({row["key"] for row in starts}))
    yield Check("one worker was killed", [row["worker"] for row in starts[:1]], killed)
    yield Check(
        "the first attempt was lost, the second succeeded",
        ["lost", "succeeded"],
        [attempt.state for attempt in deposit.attempts],
    )
    yield Check("another worker took over", 2, len({row["worker"] for row in starts}))


def of_the_good_order(
    run: Run, tables: Tables, order: str, stock_before: dict[str, int], quantity: int
) -> Iterator[Check]:
    """The order that was paid."""
    charges, refunds = _charges(tables, order)
    paid = sum(row["amount"] for row in charges)
    expected = {"order": order, "accepted": True, "paid": paid}
    yield Check("the order completed", "completed", run.status)
    yield Check("its output says what was paid", expected, run.output)
    yield Check("two charges", ["deposit", "balance"], [row["part"] for row in charges])
    yield Check("no refund", [], refunds)
    sold = {item: left - stock(tables)[item] for item, left in stock_before.items()}
    yield Check("the goods left the shelf", [quantity], [count for count in sold.values() if count])


def that_none_is_left(alive: dict[int, str]) -> Check:
    """Of all the processes that were started, and of what those started."""
    return Check("no process is left", {}, alive)


def stock(tables: Tables) -> dict[str, int]:
    """What is on the shelf."""
    return {row["item"]: row["quantity"] for row in tables["stock"]}


def _charges(tables: Tables, order: str) -> tuple[list[Row], list[Row]]:
    charges = [row for row in tables["charges"] if row["order_id"] == order]
    numbers = {row["id"] for row in charges}
    return charges, [row for row in tables["refunds"] if row["charge_id"] in numbers]


def _undone(steps: Sequence[Step]) -> list[str]:
    """The names of the steps that were undone, in the order in which that was done."""
    names = {step.id: step.name for step in steps}
    undoing = [s for s in steps if s.compensates is not None and s.status == "completed"]
    in_order = sorted(undoing, key=lambda step: str(step.data["ended_at"]))
    return [names[s.compensates] for s in in_order if s.compensates is not None]
