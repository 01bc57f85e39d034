"""The Celery app of our own worker and beat processes: ``celery -A
orchestrator.execution.entry_points.worker_and_beat_app``.

It has no tasks of its own. ``ORCHESTRATOR_IMPORTS`` names the modules whose tasks it runs as
steps; a project that has a Celery app starts its own workers instead, and calls
`orchestrator.install` there. It stands in this package, and not in `workers`, because users'
modules are imported beside it, and a project of theirs may well have a package `workers`.
"""

from __future__ import annotations

from orchestrator.execution.entry_points.app_factory import create_app

app = create_app()
