"""A user's Celery app that records its effects in a table outside the product's schema.

`charge` books at once and ends when the test has inserted its order into `public.may_end`. A
second start with the same idempotency key books nothing, as a service with such keys should do.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from celery import Celery, shared_task

from orchestrator import current_step, install

app = Celery("ledger", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_enable_remote_control=False)
install(app)


@contextmanager
def _cursor() -> Iterator[Any]:
    connection = psycopg2.connect(os.environ["ORCHESTRATOR_DATABASE_URL"])
    try:
        connection.autocommit = True
        yield connection.cursor()
    finally:
        connection.close()


def _book(effect: str, order: str) -> None:
    step = current_step()
    with _cursor() as cursor:
        cursor.execute(
            "insert into public.ledger (effect, booked, key) values (%s, %s, %s)"
            " on conflict (key) do nothing",
            (effect, order, step and step.idempotency_key),
        )


@shared_task(name="ledger.charge")
def charge(order):
    _book("charge", order)
    with _cursor() as cursor:
        cursor.execute("select from public.may_end where booked = %s", (order,))
        while cursor.fetchone() is None:
            time.sleep(0.02)  # poll interval
            cursor.execute("select from public.may_end where booked = %s", (order,))
    return {"charge": f"charge-of-{order}"}


@shared_task(name="ledger.refund")
def refund(order, charge=None):
    _book("refund", order)
    return {"refunded": charge}


@shared_task(name="ledger.hang")
def hang():
    """Ignore SIGTERM and the other signals that can be ignored, and never return."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)


@shared_task(name="ledger.plain")
def plain():
    return {"ran": True}
