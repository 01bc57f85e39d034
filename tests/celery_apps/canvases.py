"""A user's Celery app whose canvases run on Celery itself and as workflows, for comparison.

`CANVAS_TASKS` may name a folder with a further module `tasks`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from celery import Celery

from orchestrator import install

app = Celery("canvases", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(
    result_backend=os.environ["ORCHESTRATOR_BROKER_URL"],
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
)
app.set_default()
install(app)

if folder := os.environ.get("CANVAS_TASKS"):
    sys.path.insert(0, folder)
    import_module("tasks")

from tests.celery_apps import canvas_tasks  # noqa: E402, F401  its tasks belong to this app
