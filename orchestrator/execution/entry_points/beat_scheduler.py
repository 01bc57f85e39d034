"""The scheduler class for ``celery beat`` (``-S orchestrator``).

Any number of beats may run at once; there is no leader. Nothing can wake the
sleep of Celery's loop, so `tick` waits itself and returns 0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import celery.beat

from orchestrator.broker_settings import url_of
from orchestrator.clock import monotonic
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.execution.process.configuration_exit import (
    EXIT_CONFIGURATION,
    configuration_exit,
    print_error,
)
from orchestrator.execution.process.installed_parts import require_parts
from orchestrator.execution.process.outage_retry import backoff_delays
from orchestrator.log import get_logger
from orchestrator.outage_log import POSTGRES
from orchestrator.outbound import OutboundClient
from orchestrator.settings import Settings, load_settings

with configuration_exit():  # they need psycopg2
    from orchestrator.bootstrap import services
    from orchestrator.database.connection.database import LockTimeout
    from orchestrator.database.schema.upgrade import require_schema
    from orchestrator.event_handler.event_maintenance import EventMaintenance
    from orchestrator.event_handler.webhook_sender import WebhookSender
    from orchestrator.scheduler.bulk_operations import Operations
    from orchestrator.scheduler.celery_beat_entries import CeleryBeatEntries
    from orchestrator.scheduler.instance_archive import retention_jobs
    from orchestrator.scheduler.interruptible_sleep import InterruptibleSleep
    from orchestrator.scheduler.maintenance_loop import MaintenanceJob, MaintenanceLoop
    from orchestrator.scheduler.maintenance_store import PostgresMaintenanceStore
    from orchestrator.scheduler.process_announcement import Presence
    from orchestrator.task_dispatcher import PUBLISH_TIMEOUT
from orchestrator.scheduler.rerouting import Rerouting

if TYPE_CHECKING:
    from orchestrator.execution.process.probe_server import Probes

log = get_logger(__name__)

#: Largest response of a webhook's receiver, in bytes; the rest is not read.
MAX_RESPONSE = 64 * 1024
#: Seconds without a new round after which a beat counts as hanging, and without a successful
#: round after which it counts as not ready.
HANG_TIMEOUT, READY_TIMEOUT = 120.0, 20.0


class Scheduler(celery.beat.Scheduler):
    """Runs the maintenance jobs (timers, schedules, leases) and sends the app's periodic entries.

    Each due time of an entry is sent once, however many beats run."""

    def __init__(self, app: Any, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self._closed = self._refused = False
        super().__init__(app, *args, lazy=lazy, **kwargs)  # type: ignore[misc]  # as Celery calls it
        if lazy:
            return  # Celery only displays the scheduler's name and interval
        with configuration_exit():
            settings = load_settings()
            require_parts(settings)
            checked = require_schema(settings)
        self._services = services(settings, app, checked=checked)
        database, meter = self._services.database, self._services.meter
        self._presence = Presence(database, "beat", url_of(app))
        self._maintenance = MaintenanceLoop(
            settings,
            PostgresMaintenanceStore(database, meter, self._services.outbox),
            self._services.state,
            more=self._extra_jobs(settings),
        )
        self._entries = CeleryBeatEntries(database, app.main or "", self.schedule, self._send)
        self._wake, self._announced = InterruptibleSleep(settings.direct_url), True
        outbound = OutboundClient(settings.outbound_allow, settings.outbound_ca, MAX_RESPONSE)
        self._webhooks = WebhookSender(
            database, settings.direct_url, outbound, meter, self._services.cipher
        )
        self._last_round = self._last_success = monotonic()
        self._delays: Iterator[float] | None = None
        self._probes: Probes | None = None
        if settings.probe_address:
            self._serve_probes(settings.probe_address)

    def _extra_jobs(self, settings: Settings) -> list[MaintenanceJob]:
        """The jobs of the maintenance loop that it does not have by itself."""
        database, dispatcher = self._services.database, self._services.dispatcher
        retention = timedelta(seconds=settings.event_retention)
        rerouting = Rerouting(
            database,
            self._services.workflows,
            dispatcher,
            settings.lease,
            settings.republish_after,
        )
        return [
            *EventMaintenance(database, dispatcher, retention).jobs(),
            *Operations(database, dispatcher).jobs(),
            *retention_jobs(settings, database),
            self._presence.job(),
            rerouting.job(),
        ]

    def tick(self, *_: Any, **__: Any) -> float:
        """Run what is due, then wait for the next due time. Always returns 0.

        Raises:
            SystemExit: the scheduler was closed, or this release does not support the schema.
        """
        self._exit_if_closed()
        self._last_round = monotonic()
        self._webhooks.start()
        try:
            announced, self._announced = self._announced, True  # stays True after an error
            pause = min(self._maintenance.run(announced=announced), self._entries.run())
            self._announced = False
            self._last_success, self._delays = monotonic(), None
            POSTGRES.answered()
        except LockTimeout:
            pause = 0.0  # another beat has the lock
        except DatabaseUnavailable as error:
            POSTGRES.failed(error)
            # Wait longer after each failed round of this beat: many beats must not overload a
            # Postgres that restarts.
            self._delays = self._delays or backoff_delays()
            pause = next(self._delays)
        except ConfigurationError as error:  # Postgres is back, with an unsupported schema
            self._refused = True
            print_error(error)
            raise SystemExit(EXIT_CONFIGURATION) from None
        self._exit_if_closed()
        self._announced = self._wake.wait(pause) or self._announced
        return 0

    def _exit_if_closed(self) -> None:
        """Raise SystemExit if the scheduler was closed.

        SIGTERM's handler closes it during any statement. That statement may then fail as if
        Postgres were unavailable, which would hide the end."""
        if self._closed:
            raise SystemExit

    def _serve_probes(self, address: str) -> None:
        from orchestrator.execution.process.probe_server import Probes

        self._probes = Probes(address, self._alive, self._ready, self._services.meter.read)

    def _alive(self) -> tuple[bool, str]:
        """Return whether a round has begun within `HANG_TIMEOUT`."""
        elapsed = monotonic() - self._last_round
        alive = elapsed < HANG_TIMEOUT
        return alive, "alive" if alive else f"no round for {elapsed:.0f} s"

    def _ready(self) -> tuple[bool, str]:
        """Return whether a round has succeeded within `READY_TIMEOUT`."""
        elapsed = monotonic() - self._last_success
        ready = elapsed < READY_TIMEOUT
        return ready, "ready" if ready else f"no successful round for {elapsed:.0f} s"

    def _send(self, entry: Any, task_id: str) -> None:
        """Send an entry's message, in bounded time. `CeleryBeatEntries` repeats a failed one."""
        message = copy.copy(entry)
        message.options = {"task_id": task_id, "retry": False, **entry.options}
        message.options["headers"] = dict(message.options.get("headers") or {})
        with self.app.producer_pool.acquire(block=True, timeout=PUBLISH_TIMEOUT) as producer:
            self.apply_async(message, producer=producer, advance=False)

    def close(self) -> None:
        """Close everything.

        Raises:
            SystemExit: `tick` has refused the schema.
        """
        self._closed = True
        super().close()
        if hasattr(self, "_wake"):
            probes = (self._probes,) if self._probes is not None else ()
            for part in (*probes, self._webhooks, self._wake, self._presence, self._services):
                self._close_part(part)
        if self._refused:
            raise SystemExit(EXIT_CONFIGURATION)  # Celery has caught that of `tick`

    @staticmethod
    def _close_part(part: Any) -> None:
        """Close one part and log its error: it must not stop Celery's exit."""
        try:
            part.close()
        except Exception:
            log.exception("A part of the beat could not be closed", action="close_failed")
