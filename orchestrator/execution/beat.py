"""The scheduler class for ``celery beat`` (``-S orchestrator``).

Any number of beats may run at once; there is no leader. Celery's loop would sleep where
nothing can wake it, so `tick` does the waiting itself and returns 0.
"""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import celery.beat

from orchestrator.bootstrap import services
from orchestrator.database.connection import Busy
from orchestrator.errors import DatabaseUnavailable
from orchestrator.event_handler.chores import EventChores
from orchestrator.event_handler.post import PostOffice
from orchestrator.log import get_logger
from orchestrator.outbound import Outbound
from orchestrator.scheduler.chores import Chores
from orchestrator.scheduler.entries import Entries
from orchestrator.scheduler.upkeep import PostgresUpkeep
from orchestrator.scheduler.wake import Wake
from orchestrator.settings import load_settings

log = get_logger(__name__)

#: The largest answer of a webhook's receiver that is read, in bytes.
ANSWER = 64 * 1024
#: How long a beat waits before it asks an absent database again, in s.
PATIENCE = 0.5


class Scheduler(celery.beat.Scheduler):
    """Drives timers, schedules, leases and publishing again, and the app's own periodic
    entries, each due time of which is sent once however many beats run."""

    def __init__(self, app: Any, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        super().__init__(app, *args, lazy=lazy, **kwargs)  # type: ignore[misc]  # as Celery calls it
        if lazy:
            return  # Celery only asks for our name and interval
        settings = load_settings()
        self._publish_timeout = settings.publish_timeout
        self._services = services(settings, app)
        database = self._services.database
        more = EventChores(
            database, self._services.dispatcher, timedelta(seconds=settings.event_retention)
        )
        self._chores = Chores(
            settings, PostgresUpkeep(database), self._services.state, more=more.chores()
        )
        self._entries = Entries(database, app.main or "", self.schedule, self._send)
        self._wake = Wake(settings.direct_url)
        outbound = Outbound(
            settings.outbound_allow, settings.outbound_resolve, settings.outbound_ca, ANSWER
        )
        self._post = PostOffice(database, settings.direct_url, outbound)

    def tick(self, *_: Any, **__: Any) -> float:
        """Do what is due, then wait until something is."""
        self._post.open()
        try:
            pause = min(self._chores.run(), self._entries.run())
        except Busy:
            pause = 0.0  # somebody else is at it
        except DatabaseUnavailable as error:
            log.warning("Postgres is away", action="beat_waits", error=str(error))
            pause = PATIENCE
        self._wake.wait(pause)
        return 0

    def _send(self, entry: Any, task_id: str) -> None:
        """Send an entry's message, in bounded time: what fails now is sent again."""
        sent = copy.copy(entry)
        sent.options = {"task_id": task_id, "retry": False, **entry.options}
        sent.options["headers"] = dict(sent.options.get("headers") or {})
        with self.app.producer_pool.acquire(block=True, timeout=self._publish_timeout) as producer:
            self.apply_async(sent, producer=producer, advance=False)

    def close(self) -> None:
        """Leave nothing open."""
        super().close()
        if hasattr(self, "_wake"):
            self._post.close()
            self._wake.close()
            self._services.close()
