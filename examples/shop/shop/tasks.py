"""The shop's tasks: plain Celery, each usable with `.delay()` as well.

What they take from the orchestrator is the idempotency key of the step, which stays the
same however often the step is started: a charge that was made is never made again.
"""

from __future__ import annotations

import os
import uuid

from celery import shared_task

from orchestrator import current_step
from shop import store


@shared_task
def reserve_stock(order: str, item: str, quantity: int) -> dict[str, object]:
    """Put `quantity` of `item` aside; raises `OutOfStock`. Prices are in cents."""
    key = _started("reserve_stock", order)
    total = store.reserve(key, order, item, quantity)
    return {"reservation": key, "total": total}


@shared_task
def release_stock(order: str, reservation: str) -> dict[str, object]:
    """Put a reservation's goods back on the shelf."""
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
    """Give a charge's money back."""
    key = _started("refund", order)
    return {"refund": store.refund(key, charge)}


def _started(task: str, order: str) -> str:
    """Note the start in the shop's own ledger; returns the key that makes it happen once."""
    step = current_step()
    key = step.idempotency_key if step else None
    key = key or str(uuid.uuid4())
    store.note_start(task, key, order, worker=os.getppid())
    return key
