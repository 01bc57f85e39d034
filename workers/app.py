"""The Celery app of our own worker and beat processes: ``celery -A workers.app worker``.

For a checkout. An installed product has it as `orchestrator.execution.app` only, so that a
project's own package `workers` is nowhere met.
"""

from __future__ import annotations

from orchestrator.execution.app import app

__all__ = ["app"]
