"""The worker's heartbeat: one statement reports the worker and its attempts in flight.

It runs in a thread of the main process and continues through outages of the database. Leases do
not expire meanwhile: the lease watchdog's clock stops when no worker can send heartbeats
(DESIGN, Leases).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state

from orchestrator import bootstrap, broker_settings, clock, native_threads
from orchestrator.clock import monotonic
from orchestrator.database.connection.database import Database
from orchestrator.database.transitions import decision_lease_queries
from orchestrator.database.workers import route_queries, worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.execution.process.configuration_exit import EXIT_CONFIGURATION, print_error
from orchestrator.log import get_logger
from orchestrator.outage_log import POSTGRES

if TYPE_CHECKING:
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: Heartbeats in one lease: two of them may be lost.
HEARTBEATS_PER_LEASE = 3
#: Seconds without a try after which the heartbeat's thread counts as hanging.
HANG_TIMEOUT = 120.0


class Heartbeat:
    """Registers the worker, sends its heartbeats, and deregisters it at its end."""

    def __init__(self, runtime: WorkerRuntime, after_heartbeat: Callable[[], None]) -> None:
        self._runtime = runtime
        self._after_heartbeat = after_heartbeat
        self._period = runtime.settings.lease / HEARTBEATS_PER_LEASE
        self._stop = native_threads.event()
        self._wake = native_threads.event()
        self._registered = native_threads.event()
        self._database: Database | None = None
        self._thread: native_threads.Thread | None = None
        self._row_is_stale = False
        self._received_since = False
        self.last_received = self._last_try = self._last_success = monotonic()

    def start(self, timeout: float = 3.0) -> None:
        """Start the thread; call it after the pool has forked.

        Waits up to `timeout` seconds for the registration, which should precede all claims."""
        if native_threads.enabled():
            # In a gevent worker, give the heartbeat's native thread a database connection of its
            # own. The worker's other connections are shared by the greenlets of one thread.
            self._database = bootstrap.database_of(
                self._runtime.settings, checked=self._runtime.schema_checked, size=1
            )
        self._thread = native_threads.start(self._run, "orchestrator-heartbeat")
        self._registered.wait(timeout)

    @property
    def database(self) -> Database:
        """The connections of the heartbeat's thread."""
        return self._database or self._runtime.services.database

    def stop(self) -> None:
        """Stop the thread and deregister the worker; without Postgres its leases expire instead."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._period)
        try:
            worker_queries.stop(self._runtime.services.database, self._runtime.worker_id)
        except (DatabaseUnavailable, ConfigurationError):
            log.info("The worker could not be deregistered", action="deregistration_failed")

    def received(self) -> None:
        """Record that the consumer has received a message."""
        self._received_since = True
        self.last_received = monotonic()

    def renew(self) -> None:
        """Store the worker's row anew and at once: its queues may have changed."""
        self._row_is_stale = True
        self._wake.set()

    def alive(self) -> tuple[bool, str]:
        """Return whether the thread still tries to send heartbeats, whether Postgres answers or
        not, and a text about it."""
        elapsed = monotonic() - self._last_try
        runs = self._thread is not None and self._thread.is_alive()
        alive = runs and elapsed < HANG_TIMEOUT
        return alive, "alive" if alive else f"no heartbeat was tried for {elapsed:.0f} s"

    def ready(self) -> tuple[bool, str]:
        """Return whether steps can run here, and a text about it.

        The worker must be registered, have sent a heartbeat within its lease, and not stop."""
        if self._runtime.in_flight.stopping:
            return False, "stopping"
        elapsed = monotonic() - self._last_success
        if not self._registered.is_set() or elapsed > self._runtime.settings.lease:
            return False, f"Postgres has received no heartbeat for {elapsed:.0f} s"
        return True, "ready"

    @property
    def free(self) -> int:
        """The number of idle slots of the pool, as the main process counts them."""
        return max(self._runtime.concurrency - len(worker_state.active_requests), 0)

    def _run(self) -> None:
        while True:
            self._last_try = monotonic()
            self._try()
            self._wake.wait(self._period)
            self._wake.clear()
            if self._stop.is_set():
                return

    def _try(self) -> None:
        try:
            self._send()
        except DatabaseUnavailable as error:
            POSTGRES.failed(error, subject="the heartbeat")
        except ConfigurationError as error:
            self._refuse(error)
        except Exception:
            log.exception("The heartbeat failed", action="heartbeat_failed")
        else:
            POSTGRES.answered()
            self._runtime.schema_checked = True
            self._last_success = monotonic()
            self._after_heartbeat()

    def _refuse(self, error: ConfigurationError) -> None:
        """Stop the worker: Postgres is back, and this release does not support its schema."""
        if not self._stop.is_set():
            print_error(error)
            worker_state.should_stop = EXIT_CONFIGURATION  # type: ignore[assignment]  # an exit status
            self._stop.set()

    def _send(self) -> None:
        runtime, database = self._runtime, self.database
        if not self._registered.is_set() or self._row_is_stale:
            self._row_is_stale = False
            self._register()
        received, self._received_since = self._received_since, False
        in_flight = runtime.in_flight
        is_registered = worker_queries.heartbeat(
            database,
            runtime.worker_id,
            in_flight.attempts(),
            self.free,
            received,
            in_flight.stopping,
            runtime.counts(),
            clock.now(),
        )
        if not is_registered:
            self._registered.clear()
        if deciding := in_flight.deciding():
            decision_lease_queries.renew(
                database, runtime.worker_id, deciding, runtime.settings.lease
            )

    def _register(self) -> None:
        try:
            worker_queries.register(self.database, self._row())
        except BaseException:
            self._row_is_stale = True
            raise
        if not self._registered.is_set():
            self._announce()
        self._registered.set()

    def _announce(self) -> None:
        """Announce where the app routes its tasks, once after each start of the worker."""
        runtime = self._runtime
        is_own = broker_settings.is_own_app(runtime.app)
        options = None if is_own else broker_settings.shared_options(runtime.app)
        route_queries.announce(self.database, runtime.routes, options)

    def _row(self) -> WorkerRow:
        runtime = self._runtime
        return WorkerRow(
            id=runtime.worker_id,
            name=runtime.hostname,
            pid=os.getpid(),
            pool=runtime.pool,
            concurrency=runtime.concurrency,
            queues=runtime.queues,
            refused_queues=runtime.refused_queues,
            tasks=runtime.step_tasks,
            app=app_argument(runtime.app, sys.argv),
            broker=broker_settings.without_password(broker_settings.url_of(runtime.app)),
        )


def app_argument(app: Any, argv: Sequence[str]) -> str | None:
    """Return the argument of ``celery -A`` that starts such a worker: that of this process, else
    the app's name. None for our own app, which `orchestrator worker` starts."""
    own_app = sys.modules.get("orchestrator.execution.entry_points.worker_and_beat_app")
    if own_app is not None and own_app.app is app:
        return None
    for option, value in zip(argv, [*argv[1:], ""], strict=True):
        if option in ("-A", "--app"):
            return value
        if option.startswith("--app="):
            return option.removeprefix("--app=")
    return os.environ.get("CELERY_APP") or app.main or None
