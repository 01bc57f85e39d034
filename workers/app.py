"""The Celery app of the product's own worker and beat processes: ``celery -A workers.app worker``.

Only a checkout has this package. An installed product has the app in
`orchestrator.execution.entry_points.worker_and_beat_app`, which cannot collide with a project's
own package `workers`.
"""

from __future__ import annotations

from orchestrator.execution.entry_points.worker_and_beat_app import app

__all__ = ["app"]
