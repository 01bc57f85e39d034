"""A pool of a user's own, as CELERY_CUSTOM_WORKER_POOL names one."""

from __future__ import annotations

from celery.concurrency import solo


class TaskPool(solo.TaskPool):
    """Runs each task where it is received."""
