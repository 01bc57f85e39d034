"""A user's Celery app for pictures: a shop, its bills and its reports, with typical troubles.

What goes wrong is in the arguments: the card `nearly-empty` is declined, `busy-bank` answers 503,
`cursed` ends the worker
in the middle of the first deposit.
"""

from __future__ import annotations

import os
import signal
import time

from celery import Celery, shared_task

from orchestrator import WorkflowError, current_step, install

app = Celery("gallery", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_enable_remote_control=False)
install(app)

COMMUNICATION = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"


class CardDeclined(Exception):
    """The card has not enough on it."""


def _attempt() -> int:
    step = current_step()
    return step.attempt if step else 1


@shared_task(name="shop.check_order")
def check_order(order, total=0):
    return {"order": order, "total": total, "valid": True}


@shared_task(name="shop.reserve_stock")
def reserve_stock(order, item="lamp", quantity=1):
    time.sleep(0.03)
    return {"reservation": f"r-{order}", "item": item, "quantity": quantity, "total": 10_000}


@shared_task(name="shop.release_stock")
def release_stock(order, reservation=None):
    time.sleep(0.02)
    return {"released": reservation}


@shared_task(name="shop.charge")
def charge(order, card, amount):
    time.sleep(0.02)
    if card == "cursed" and amount < 3000 and _attempt() == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    if card == "busy-bank":
        detail = "503 Service Unavailable from acquirer.bank.example"
        raise WorkflowError(COMMUNICATION, 503, "Bank unavailable", detail)
    if card in ("nearly-empty", "cursed") and amount > 3000:
        raise CardDeclined(f"card {card}: {amount} cents wanted, 3000 left")
    return {"charge": f"c-{order}-{amount}", "amount": amount}


@shared_task(name="shop.refund")
def refund(charge, fails=False):
    time.sleep(0.02)
    if fails:
        raise WorkflowError(COMMUNICATION, 503, "Refund refused", "503 from acquirer.bank.example")
    return {"refunded": charge}


@shared_task(name="shop.pack")
def pack(order, seconds=0.0):
    """Takes its time, if told so: something to watch while it runs."""
    time.sleep(seconds)
    return {"parcel": f"p-{order}"}


@shared_task(name="shop.mail")
def mail(to, template):
    return {"sent": template, "to": to}


@shared_task(name="reports.row")
def row(number):
    time.sleep(0.001 * (number % 7))
    if number == 117 and _attempt() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"row": number}
