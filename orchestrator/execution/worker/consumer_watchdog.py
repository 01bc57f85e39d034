"""Recovers a worker whose consumer is stalled: it is connected but receives no messages.

This can happen after a reconnect to the broker. A consumer counts as stalled if the worker has
free slots and has received nothing for some time, although an attempt of its queues was unclaimed
for as long. The worker then reconnects; if that does not help, it exits, and its supervisor
restarts it (DESIGN, Celery facts).
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
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
    from orchestrator.execution.worker.heartbeat import Heartbeat

log = get_logger(__name__)

#: Time without messages after which a consumer counts as stalled, as a multiple of
#: `republish_after`. A lost message is published again after 1, so only after 2 is it excluded.
STALL_FACTOR = 2

#: Exit status of a worker that its supervisor should restart (sysexits.h, EX_TEMPFAIL).
EX_TEMPFAIL = 75


class ConsumerWatchdog:
    """Checks the consumer after each heartbeat, in the heartbeat's thread."""

    def __init__(
        self,
        runtime: WorkerRuntime,
        heartbeat: Heartbeat,
        consumer: Callable[[], Any],
        call_in_loop: Callable[[Callable[[], object]], None],
    ) -> None:
        self._runtime = runtime
        self._heartbeat = heartbeat
        self._consumer = consumer
        self._call_in_loop = call_in_loop
        self._stall_timeout = STALL_FACTOR * runtime.settings.republish_after
        self._stage = 0
        self._since = monotonic()

    def check(self) -> None:
        """Take the next measure if the consumer is stalled: reconnect, then restart, then exit."""
        last = self._heartbeat.last_received
        if last > self._since:
            self._since, self._stage = last, 0
        silence = monotonic() - self._since
        if silence < self._stall_timeout or not self._is_stalled(silence):
            return
        self._since = monotonic()
        self._stage += 1
        (self._reconnect, self._restart, self._exit)[min(self._stage, 3) - 1]()

    def _is_stalled(self, silence: float) -> bool:
        runtime, consumer = self._runtime, self._consumer()
        if not self._heartbeat.free or runtime.in_flight.stopping or not _is_consuming(consumer):
            return False
        return has_stalled_attempt(
            self._heartbeat.database,
            runtime.queues,
            runtime.step_tasks,
            limits=runtime.is_prefork,
            seconds=self._stall_timeout,
            silence=silence,
        )

    def _reconnect(self) -> None:
        """Raise a connection error inside the event loop: Celery then reconnects from the start."""
        log.warning(
            "No messages arrive; reconnecting", action="consumer_stalled", stage=self._stage
        )

        def lose_connection() -> None:
            raise ConnectionResetError("the consumer is stalled")

        self._call_in_loop(lose_connection)

    def _restart(self) -> None:
        log.error(
            "Still no messages arrive; stopping the worker",
            action="consumer_stalled",
            stage=self._stage,
        )
        worker_state.should_stop = EX_TEMPFAIL  # type: ignore[assignment]  # an exit status

    def _exit(self) -> None:
        """Exit at once if no task runs: the event loop did not stop."""
        if self._heartbeat.free == self._runtime.concurrency:
            log.critical(
                "The worker does not stop; exiting", action="consumer_stalled", stage=self._stage
            )
            os._exit(EX_TEMPFAIL)


def _is_consuming(consumer: Any) -> bool:
    """Return whether the consumer is connected and running. While it reconnects, it cannot receive
    messages and does not count as stalled."""
    if consumer is None or not consumer.connection:
        return False
    return bool(consumer.blueprint.human_state() == "running")
