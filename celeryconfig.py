"""Celery's settings of the orchestrator's own processes, for ``celery --config celeryconfig``.

They come from the environment (see `orchestrator.settings`). A project with its own Celery app
keeps its own settings and calls `orchestrator.install(app)`.
"""

from orchestrator.broker_settings import celery_settings
from orchestrator.settings import load_settings

globals().update(celery_settings(load_settings()))
