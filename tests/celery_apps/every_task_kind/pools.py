"""A user's own pool, to be named by CELERY_CUSTOM_WORKER_POOL."""

from __future__ import annotations

from celery.concurrency import solo


class TaskPool(solo.TaskPool):
    """Runs each task in the thread that receives it."""
