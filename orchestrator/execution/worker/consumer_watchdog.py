"""A worker that reconnected to its broker can be deaf: it consumes, and nothing comes.

One with free slots that received nothing for a while, although an attempt of its queues
stands unclaimed for as long, subscribes anew; if that does not help, it ends, and whoever
supervises it starts it again (DESIGN, Celery facts).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state

from orchestrator.clock import monotonic
from orchestrator.database.workers.liveness_queries import has_stalled_attempt
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from orchestrator.execution.worker.heartbeat import Heartbeat
    from orchestrator.execution.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: A lost message is published again after `republish_after`; only after twice that can
#: silence not be blamed on it.
STALL_FACTOR = 2

#: The exit status of a worker that wants to be started again (sysexits.h, EX_TEMPFAIL).
EX_TEMPFAIL = 75


class ConsumerWatchdog:
    """Looked after once a beat, in the thread of the heartbeat."""

    def __init__(
        self, runtime: WorkerRuntime, heartbeat: Heartbeat, consumer: Callable[[], Any]
    ) -> None:
        self._runtime = runtime
        self._heartbeat = heartbeat
        self._consumer = consumer
        self._patience = STALL_FACTOR * runtime.settings.republish_after
        self._stage = 0
        self._since = monotonic()

    def check(self) -> None:
        """Do the next thing about a deafness that has lasted too long."""
        last = self._heartbeat.last_received
        if last > self._since:
            self._since, self._stage = last, 0
        silence = monotonic() - self._since
        if silence < self._patience or not self._is_stalled(silence):
            return
        self._since = monotonic()
        self._stage += 1
        (self._reconnect, self._restart, self._exit)[min(self._stage, 3) - 1]()

    def _is_stalled(self, silence: float) -> bool:
        runtime, consumer = self._runtime, self._consumer()
        if not self._heartbeat.free or runtime.in_flight.stopping or not _is_consuming(consumer):
            return False
        return has_stalled_attempt(
            runtime.services.database,
            runtime.queues,
            runtime.step_tasks,
            limits=runtime.is_prefork,
            seconds=self._patience,
            silence=silence,
        )

    def _reconnect(self) -> None:
        """Break the connection from inside the event loop, as a lost one would: Celery then
        connects and subscribes from the start."""
        log.warning("Nothing is received; subscribing anew", action="deaf", stage=self._stage)
        consumer = self._consumer()
        assert consumer is not None  # noqa: S101  _is_deaf has looked

        def lose_connection() -> None:
            raise ConnectionResetError("the worker is deaf")

        consumer.call_soon(lose_connection)

    def _restart(self) -> None:
        log.error("Still nothing is received; ending in order", action="deaf", stage=self._stage)
        worker_state.should_stop = EX_TEMPFAIL  # type: ignore[assignment]  # an exit status

    def _exit(self) -> None:
        """The event loop does not even stop. Without tasks in hand nothing is lost."""
        if self._heartbeat.free == self._runtime.concurrency:
            log.critical("The worker can't be stopped; exiting", action="deaf", stage=self._stage)
            os._exit(EX_TEMPFAIL)


def _is_consuming(consumer: Any) -> bool:
    """Connected and consuming: while a connection is sought, silence is nobody's fault."""
    if consumer is None or not consumer.connection:
        return False
    return bool(consumer.blueprint.human_state() == "running")
