"""The Celery app of our own worker and beat processes: ``celery -A workers.app worker``.

For a checkout. An installed product has it as
`orchestrator.execution.entry_points.worker_and_beat_app` only, so that a
project's own package `workers` is nowhere met.
"""

from __future__ import annotations

from orchestrator.execution.entry_points.worker_and_beat_app import app

__all__ = ["app"]
