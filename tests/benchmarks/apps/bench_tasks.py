"""The tasks that are measured: the same functions for raw Celery and as steps."""

from __future__ import annotations

import os
import time

from celery import Celery, shared_task

URL = os.environ["BENCH_BROKER_URL"]

# A chord of raw Celery's counts in Redis; on RabbitMQ only ours runs, which needs no results.
app = Celery("bench", broker=URL, backend=None if URL.startswith("amqp") else URL)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
    result_expires=3600,
)


@shared_task(name="bench.noop")
def noop(*args, **kwargs):
    return None


@shared_task(name="bench.nap")
def nap(seconds=0.02, **kwargs):
    time.sleep(seconds)


@shared_task(name="bench.echo")
def echo(value=None, **kwargs):
    return value


@shared_task(name="bench.quiet", ignore_result=True)
def quiet(*args, **kwargs):
    return None


@shared_task(name="bench.last")
def last(*args, **kwargs):
    return "done"
