"""The worker's heartbeat: one statement says that it lives and what its processes hold.

A thread of the main process. It outlives outages of the database: what expires a lease is
the watchdog's own clock, which does not run while nobody can beat (DESIGN, Leases).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state

from orchestrator import broker_settings, clock
from orchestrator.clock import monotonic
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.execution.database_schema_check import EXIT_CONFIGURATION, print_error
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from orchestrator.execution.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: Beats in one lease: two may be lost.
HEARTBEATS_PER_LEASE = 3
#: A heartbeat that was not even tried for so many seconds hangs.
HANG_TIMEOUT = 120.0


class Heartbeat:
    """Registers the worker, beats, and says farewell."""

    def __init__(self, runtime: WorkerRuntime, after_beat: Callable[[], None]) -> None:
        self._runtime = runtime
        self._after_beat = after_beat
        self._period = runtime.settings.lease / HEARTBEATS_PER_LEASE
        self._end = threading.Event()
        self._registered = threading.Event()
        self._silent = False
        self._received_since = False
        self.last_received = self._last_try = self._last_success = monotonic()
        self._thread = threading.Thread(target=self._run, name="orchestrator-beat", daemon=True)

    def start(self, patience: float = 3.0) -> None:
        """Begin; call it once the pool has forked. Waits a little for the first beat, so that
        the worker is known before it claims anything."""
        self._thread.start()
        self._registered.wait(patience)

    def stop(self) -> None:
        """Say farewell, if the database can hear it; a lease ends without it too."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(self._period)
        try:
            worker_queries.stop(self._runtime.services.database, self._runtime.worker_id)
        except (DatabaseUnavailable, ConfigurationError):
            log.info("The worker ends without a farewell", action="farewell_unheard")

    def received(self) -> None:
        """A message has come in."""
        self._received_since = True
        self.last_received = monotonic()

    def alive(self) -> tuple[bool, str]:
        """Whether the worker goes on trying to beat; an absent database is no death."""
        quiet = monotonic() - self._last_try
        well = self._thread.is_alive() and quiet < HANG_TIMEOUT
        return well, "alive" if well else f"no heartbeat was tried for {quiet:.0f} s"

    def ready(self) -> tuple[bool, str]:
        """Whether steps can run here: it is known, was heard lately, and is not stopping."""
        if self._runtime.in_flight.stopping:
            return False, "stopping"
        quiet = monotonic() - self._last_success
        if not self._registered.is_set() or quiet > self._runtime.settings.lease:
            return False, f"Postgres has heard no heartbeat for {quiet:.0f} s"
        return True, "ready"

    @property
    def free(self) -> int:
        """How many slots of the pool are idle, as the main process knows them."""
        return max(self._runtime.concurrency - len(worker_state.active_requests), 0)

    def _run(self) -> None:
        while True:
            self._last_try = monotonic()
            self._try_beat()
            if self._end.wait(self._period):
                return

    def _try_beat(self) -> None:
        try:
            self._send()
        except DatabaseUnavailable as error:
            if not self._silent:
                log.warning("The heartbeat is not heard", action="beat_failed", error=str(error))
            self._silent = True
        except ConfigurationError as error:
            self._refuse(error)
        except Exception:
            log.exception("The heartbeat failed", action="beat_failed")
        else:
            self._silent = False
            self._runtime.schema_checked = True
            self._last_success = monotonic()
            self._after_beat()

    def _refuse(self, error: ConfigurationError) -> None:
        """Postgres is there now, and is none for us: the worker ends, having claimed nothing."""
        if not self._end.is_set():
            print_error(error)
            worker_state.should_stop = EXIT_CONFIGURATION  # type: ignore[assignment]  # an exit status
            self._end.set()

    def _send(self) -> None:
        runtime, database = self._runtime, self._runtime.services.database
        if not self._registered.is_set():
            worker_queries.register(database, self._row())
            self._registered.set()
        heard, self._received_since = self._received_since, False
        hands = runtime.in_flight
        known = worker_queries.heartbeat(
            database,
            runtime.worker_id,
            hands.attempts(),
            self.free,
            heard,
            hands.stopping,
            runtime.counts(),
            clock.now(),
        )
        if not known:
            self._registered.clear()

    def _row(self) -> WorkerRow:
        runtime = self._runtime
        return WorkerRow(
            id=runtime.worker_id,
            name=runtime.hostname,
            pid=os.getpid(),
            pool="prefork" if runtime.is_prefork else "threads",
            concurrency=runtime.concurrency,
            queues=runtime.queues,
            tasks=runtime.step_tasks,
            app=app_argument(runtime.app, sys.argv),
            broker=broker_settings.without_password(broker_settings.url_of(runtime.app)),
        )


def app_argument(app: Any, argv: Sequence[str]) -> str | None:
    """What ``celery -A`` is given to start such a worker: as this one was started, else the
    app's name. None for our own app, which `orchestrator worker` starts."""
    ours = sys.modules.get("orchestrator.execution.entry_points.worker_and_beat_app")
    if ours is not None and ours.app is app:
        return None
    for option, value in zip(argv, [*argv[1:], ""], strict=True):
        if option in ("-A", "--app"):
            return value
        if option.startswith("--app="):
            return option.removeprefix("--app=")
    return os.environ.get("CELERY_APP") or app.main or None
