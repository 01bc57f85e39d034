"""A pool that Celery does not have, to be named by CELERY_CUSTOM_WORKER_POOL."""

from __future__ import annotations

import os

from celery.concurrency.base import BasePool, apply_target


class TaskPool(BasePool):
    """Runs each task at once, as solo does, without being it."""

    body_can_be_buffer = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        setattr(self, "on_apply", apply_target)  # noqa: B010  mypy knows its signature
        self.limit = 1

    def _get_info(self):
        return {"max-concurrency": 1, "processes": [os.getpid()]}
