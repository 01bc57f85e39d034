"""The shop's tasks: plain Celery, each usable with `.delay()` as well.

From the orchestrator they only use the idempotency key of the step. It is the same for all starts
of a step, so that a charge is never made twice.
"""

from __future__ import annotations

import os
import uuid

from celery import shared_task

from orchestrator import current_step
from shop import store


@shared_task
def reserve_stock(order: str, item: str, quantity: int) -> dict[str, object]:
    """Reserve `quantity` of `item`; raises `OutOfStock`. Prices are in cents."""
    key = _started("reserve_stock", order)
    total = store.reserve(key, order, item, quantity)
    return {"reservation": key, "total": total}


@shared_task
def release_stock(order: str, reservation: str) -> dict[str, object]:
    """Put the goods of a reservation back into stock."""
    _started("release_stock", order)
    return {"released": store.release(reservation)}


@shared_task
def charge_deposit(order: str, card: str, amount: int) -> dict[str, object]:
    """Charge the first part of the price; raises `CardDeclined`."""
    key = _started("charge_deposit", order)
    return {"charge": store.charge(key, order, "deposit", card, amount), "amount": amount}


@shared_task
def charge_balance(order: str, card: str, amount: int) -> dict[str, object]:
    """Charge the rest of the price; raises `CardDeclined`."""
    key = _started("charge_balance", order)
    return {"charge": store.charge(key, order, "balance", card, amount), "amount": amount}


@shared_task
def refund(order: str, charge: int) -> dict[str, object]:
    """Refund a charge."""
    key = _started("refund", order)
    return {"refund": store.refund(key, charge)}


def _started(task: str, order: str) -> str:
    """Record the start in the shop's own table; return the idempotency key."""
    step = current_step()
    key = step.idempotency_key if step else None
    key = key or str(uuid.uuid4())
    store.record_start(task, key, order, worker=os.getppid())
    return key
