"""The shop's Celery app. `install` lets workflows use its tasks as steps."""

from __future__ import annotations

import os

from celery import Celery

from orchestrator import install

app = Celery(
    "shop",
    broker=os.environ.get("ORCHESTRATOR_BROKER_URL", "redis://127.0.0.1:6379/0"),
    include=["shop.tasks"],
)
install(app)
