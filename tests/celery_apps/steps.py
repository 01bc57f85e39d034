"""A user's Celery app for tests: ordinary tasks and `install(app)`."""

from __future__ import annotations

import logging
import os

import psycopg2
from celery import Celery, shared_task

from orchestrator import current_step, install
from tests.celery_apps import kill_points

app = Celery("steps", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_enable_remote_control=False)
install(app)


def _record(effect: str) -> None:
    """Record an effect outside the product: one row per start, with the step's key."""
    step = current_step()
    connection = psycopg2.connect(os.environ["ORCHESTRATOR_DATABASE_URL"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("create table if not exists public.ledger (effect text, key text)")
            cursor.execute(
                "insert into public.ledger values (%s, %s)",
                (effect, step.idempotency_key if step else None),
            )
    finally:
        connection.close()


@shared_task(name="steps.add")
def add(a, b):
    return {"sum": a + b}


@shared_task(name="steps.effect")
def effect(name, **_):
    _record(name)
    kill_points.reached("during the task")
    return {"done": name}


@shared_task(name="steps.fail")
def fail(message="no", **_):
    raise ValueError(message)


@shared_task(name="steps.echo")
def echo(secret, nested=None, **_):
    return {"said": secret, "nested": nested}


@shared_task(name="steps.leak")
def leak(secret, **_):
    """Put a secret into a log line and into exceptions."""
    logging.getLogger("leaky.library").warning("called with %s", secret)
    try:
        raise KeyError(secret)
    except KeyError as cause:
        raise ValueError(f"refused {secret!r}") from cause


kill_points.arm()
