"""The scheduler class for ``celery beat`` (``-S orchestrator``).

Any number of beats may run at once; there is no leader. Celery's loop would sleep where
nothing can wake it, so `tick` does the waiting itself and returns 0.
"""

from __future__ import annotations

from typing import Any

import celery.beat
import structlog

from orchestrator.bootstrap import services
from orchestrator.errors import DatabaseUnavailable
from orchestrator.scheduler import Chores, Wake
from orchestrator.settings import load_settings

log = structlog.get_logger(__name__)

#: How long a beat waits before it asks an absent database again, in s.
PATIENCE = 0.5


class Scheduler(celery.beat.Scheduler):
    """Drives timers, leases and publishing again, besides the app's own periodic entries."""

    def __init__(self, app: Any, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        super().__init__(app, *args, lazy=lazy, **kwargs)
        if lazy:
            return  # Celery only asks for our name and interval
        settings = load_settings()
        self._services = services(settings, app)
        self._chores = Chores(settings, self._services.database, self._services.state)
        self._wake = Wake(settings.direct_url)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due, then wait until something is."""
        entries = super().tick(*args, **kwargs)
        try:
            pause = self._chores.run()
        except DatabaseUnavailable as error:
            log.warning("Postgres is away", action="beat_waits", error=str(error))
            pause = PATIENCE
        self._wake.wait(min(pause, entries))
        return 0

    def close(self) -> None:
        """Leave nothing open."""
        super().close()
        if hasattr(self, "_wake"):
            self._wake.close()
            self._services.close()
