"""The scheduler class for ``celery beat`` (``-S orchestrator``).

Any number of beats may run at once; there is no leader. Celery's loop would sleep where
nothing can wake it, so `tick` does the waiting itself and returns 0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import celery.beat

from orchestrator.bootstrap import services
from orchestrator.broker_settings import url_of
from orchestrator.clock import monotonic
from orchestrator.database.connection.database import LockTimeout
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.event_handler.event_maintenance import EventMaintenance
from orchestrator.event_handler.webhook_sender import WebhookSender
from orchestrator.execution.database_schema_check import (
    EXIT_CONFIGURATION,
    print_error,
    require_or_exit,
)
from orchestrator.execution.outage_retry import backoff_delays
from orchestrator.log import get_logger
from orchestrator.outbound import OutboundClient
from orchestrator.scheduler.bulk_operations import Operations
from orchestrator.scheduler.celery_beat_entries import CeleryBeatEntries
from orchestrator.scheduler.instance_archive import retention_chores
from orchestrator.scheduler.maintenance_loop import MaintenanceLoop
from orchestrator.scheduler.maintenance_store import PostgresMaintenanceStore
from orchestrator.scheduler.process_announcement import Presence
from orchestrator.scheduler.timer_wakeup import TimerWakeup
from orchestrator.settings import load_settings

if TYPE_CHECKING:
    from orchestrator.execution.probe_server import Probes

log = get_logger(__name__)

#: The largest answer of a webhook's receiver that is read, in bytes.
MAX_RESPONSE = 64 * 1024
#: A beat without a round for so many seconds hangs; without a good one, it is of no use.
STUCK, LATE = 120.0, 20.0


class Scheduler(celery.beat.Scheduler):
    """Drives timers, schedules, leases and publishing again, and the app's own periodic
    entries, each due time of which is sent once however many beats run."""

    def __init__(self, app: Any, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self._closed = self._refused = False
        super().__init__(app, *args, lazy=lazy, **kwargs)  # type: ignore[misc]  # as Celery calls it
        if lazy:
            return  # Celery only asks for our name and interval
        settings = load_settings()
        checked = require_or_exit(settings)
        self._publish_timeout = settings.publish_timeout
        self._services = services(settings, app, checked=checked)
        database, meter = self._services.database, self._services.meter
        dispatcher = self._services.dispatcher
        kept = timedelta(seconds=settings.event_retention)
        self._presence = Presence(database, "beat", url_of(app))
        more = [
            *EventMaintenance(database, dispatcher, kept).chores(),
            *Operations(database, dispatcher).chores(),
            *retention_chores(settings, database),
            self._presence.chore(),
        ]
        self._maintenance = MaintenanceLoop(
            settings, PostgresMaintenanceStore(database, meter), self._services.state, more=more
        )
        self._entries = CeleryBeatEntries(database, app.main or "", self.schedule, self._send)
        self._wake, self._announced = TimerWakeup(settings.direct_url), True
        outbound = OutboundClient(
            settings.outbound_allow, settings.outbound_resolve, settings.outbound_ca, MAX_RESPONSE
        )
        self._webhooks = WebhookSender(database, settings.direct_url, outbound, meter)
        self._began = self._done = monotonic()
        self._delays: Iterator[float] | None = None
        self._probes: Probes | None = None
        if settings.probe_address:
            self._serve_probes(settings.probe_address)

    def tick(self, *_: Any, **__: Any) -> float:
        """Do what is due, then wait until something is. Raises SystemExit once it is closed."""
        self._exit_if_closed()
        self._began = monotonic()
        self._webhooks.start()
        try:
            told, self._announced = self._announced, True  # until it went well
            pause = min(self._maintenance.run(told=told), self._entries.run())
            self._announced = False
            self._done, self._delays = monotonic(), None
        except LockTimeout:
            pause = 0.0  # somebody else is at it
        except DatabaseUnavailable as error:
            log.warning("Postgres is away", action="beat_waits", error=str(error))
            # Longer and longer: a fleet of beats must not keep a database from coming back.
            self._delays = self._delays or backoff_delays()
            pause = next(self._delays)
        except ConfigurationError as error:  # it is there now, and is none for us
            self._refused = True
            print_error(error)
            raise SystemExit(EXIT_CONFIGURATION) from None
        self._exit_if_closed()
        self._announced = self._wake.wait(pause) or self._announced
        return 0

    def _exit_if_closed(self) -> None:
        """Not after the end. SIGTERM's handler closes us in the midst of whatever is being done;
        that may then fail as if Postgres were away, and hide that this is the end."""
        if self._closed:
            raise SystemExit

    def _serve_probes(self, where: str) -> None:
        from orchestrator.execution.probe_server import Probes

        self._probes = Probes(where, self._alive, self._ready, self._services.meter.read)

    def _alive(self) -> tuple[bool, str]:
        """Whether a round began lately: one waits for a few seconds at most."""
        quiet = monotonic() - self._began
        return quiet < STUCK, "alive" if quiet < STUCK else f"no round for {quiet:.0f} s"

    def _ready(self) -> tuple[bool, str]:
        """Whether a round went well lately: the database answers."""
        quiet = monotonic() - self._done
        return quiet < LATE, "ready" if quiet < LATE else f"nothing was done for {quiet:.0f} s"

    def _send(self, entry: Any, task_id: str) -> None:
        """Send an entry's message, in bounded time: what fails now is sent again."""
        sent = copy.copy(entry)
        sent.options = {"task_id": task_id, "retry": False, **entry.options}
        sent.options["headers"] = dict(sent.options.get("headers") or {})
        with self.app.producer_pool.acquire(block=True, timeout=self._publish_timeout) as producer:
            self.apply_async(sent, producer=producer, advance=False)

    def close(self) -> None:
        """Leave nothing open."""
        self._closed = True
        super().close()
        if hasattr(self, "_wake"):
            probes = (self._probes,) if self._probes is not None else ()
            for part in (*probes, self._webhooks, self._wake, self._presence, self._services):
                self._close_part(part)
        if self._refused:
            raise SystemExit(EXIT_CONFIGURATION)  # Celery keeps what `tick` has raised to itself

    @staticmethod
    def _close_part(part: Any) -> None:
        """An error of one may neither keep the others open nor keep Celery from its exit."""
        try:
            part.close()
        except Exception:
            log.exception("Something could not be closed", action="close_failed")
