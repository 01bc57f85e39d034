"""The Celery app of our own worker and beat processes: ``celery -A workers.app worker``.

It has no tasks of its own. ``ORCHESTRATOR_IMPORTS`` names the modules whose tasks it runs as
steps; a project that has a Celery app starts its own workers instead, and calls
`orchestrator.install` there.
"""

from __future__ import annotations

from workers.startup import create_app

app = create_app()
