"""The Celery app of the product's own worker and beat processes: ``celery -A
orchestrator.execution.entry_points.worker_and_beat_app``.

``ORCHESTRATOR_IMPORTS`` names the modules whose tasks it runs as steps. A project that has a
Celery app calls `orchestrator.install` there and starts its own workers. This module is not in
`workers`: users' modules are imported beside it, and a project may have its own package `workers`.
"""

from __future__ import annotations

from orchestrator.execution.entry_points.app_factory import create_app

app = create_app()
