"""A user's Celery app with periodic entries and without `install(app)`."""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab

app = Celery("periodic", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    beat_schedule={
        "tick": {"task": "periodic.tick", "schedule": 0.25, "args": (1,)},
        "nightly": {"task": "periodic.nightly", "schedule": crontab(minute=0, hour=3)},
    },
)


@app.task(name="periodic.tick")
def tick(number):
    return number


@app.task(name="periodic.nightly")
def nightly():
    return None
