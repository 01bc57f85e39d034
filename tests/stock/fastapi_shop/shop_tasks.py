"""The shop's Celery tasks. What they do is a line of a ledger, once for each idempotency key."""

from __future__ import annotations

import os
from typing import TypedDict

from celery import shared_task

from orchestrator import current_step
from orchestrator.canvas import compensated_by
from orchestrator.dsl import result


class Reservation(TypedDict):
    id: str
    price: int


class Charge(TypedDict):
    id: str
    amount: int


class Declined(Exception):
    """The card has been declined."""


def note(what: str) -> None:
    step = current_step()
    with open(os.environ["SHOP_LEDGER"], "a") as ledger:
        ledger.write(f"{what} {step.idempotency_key if step else '-'}\n")


@shared_task
def release(reservation: str) -> None:
    note(f"release {reservation}")


@shared_task
def reserve(item: str, quantity: int = 1) -> Reservation:
    note(f"reserve {item}")
    return {"id": f"r-{item}", "price": 12 * quantity}


@shared_task
def refund(charge: str) -> None:
    note(f"refund {charge}")


@compensated_by(refund, charge=result.id)
@shared_task
def charge(amount: int, card: str) -> Charge:
    if card == "empty":
        raise Declined(amount)
    note(f"charge {card} {amount}")
    return {"id": f"c-{card}", "amount": amount}


@shared_task
def label(item: str) -> str:
    note(f"label {item}")
    return f"label of {item}"


@shared_task
def bundle(labels: list[str], box: str) -> str:
    note(f"bundle {box}")
    return f"{box}: {', '.join(labels)}"
