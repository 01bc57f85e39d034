"""The shop's Celery app. One line makes its tasks steps of workflows."""

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
