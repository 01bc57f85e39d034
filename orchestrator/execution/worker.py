"""One running worker, in its main process: its threads, its consumer, its end."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state

from orchestrator.error_handler import runtime_error
from orchestrator.execution import signals
from orchestrator.execution.deaf import Hearing
from orchestrator.execution.deaths import Deaths
from orchestrator.execution.heartbeat import Heartbeat
from orchestrator.execution.losses import Losses
from orchestrator.log import get_logger
from orchestrator.names import HEADER

if TYPE_CHECKING:
    from orchestrator.execution.execution import Execution
    from orchestrator.metrics import Meters

log = get_logger(__name__)

#: Between handing steps back and an exit by force, in seconds.
LAST_SECOND = 1.0


class Worker:
    """What the main process of a worker does besides Celery's own part."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.consumer: Any = None
        self.losses = Losses(execution)
        self.heartbeat = Heartbeat(execution, self._after_beat)
        self._hearing = Hearing(self)
        self._deaths = Deaths(self._died)
        self._pid = os.getpid()
        self._ended = threading.Event()
        self._end_lock = threading.Lock()
        signals.run(self)

    def start(self) -> None:
        """Begin, once the pool has forked: a fork must find no thread of ours half-way."""
        self.losses.start()
        self.heartbeat.start()
        if self.execution.settings.probe_address and self.execution.meters is not None:
            self._serve_probes(self.execution.meters)
        atexit.register(self.stopped)

    def _serve_probes(self, meters: Meters) -> None:
        from orchestrator.execution.probes import Probes

        where = self.execution.settings.probe_address
        assert where is not None  # noqa: S101  the caller has looked
        self.execution.probes = Probes(
            where, self.heartbeat.alive, self.heartbeat.ready, meters.read
        )

    def follow(self, consumer: Any) -> None:
        """The consumer has (re)connected."""
        self.consumer = consumer
        self._note_events()
        self.watch(consumer.pool)
        if not self.execution.forks:
            self._wake_after_tasks(consumer.pool)

    def watch(self, pool: Any) -> None:
        """Learn of each child that ends, from the system and from billiard, which forgets what
        it was told at each reconnect."""
        billiards = getattr(pool, "_pool", None)
        known = getattr(billiards, "on_process_down", None)
        if billiards is None or getattr(known, "watched", False):
            return
        self._deaths.watch(billiards)

        def on_process_down(process: Any) -> None:
            self.losses.process_gone(process.pid, process.exitcode)
            if known is not None:
                known(process)

        on_process_down.watched = True  # type: ignore[attr-defined]
        billiards.on_process_down = on_process_down

    def _wake_after_tasks(self, pool: Any) -> None:
        """Have the event loop look for messages whenever a thread of the pool is free again.
        Celery's loop is woken by a process's result, not by a thread's: where nothing is
        prefetched it would sleep on for up to a second, with a free slot."""
        on_apply = pool.on_apply
        if getattr(on_apply, "wakes", False):
            return

        def waking(*args: Any, **kwargs: Any) -> Any:
            result = on_apply(*args, **kwargs)
            result.f.add_done_callback(lambda _: self.consumer.call_soon(_look))
            return result

        waking.wakes = True  # type: ignore[attr-defined]
        pool.on_apply = waking

    def _died(self, process: int, exit_code: int | None) -> None:
        self.losses.process_gone(process, exit_code)
        # Have the place filled now rather than at Celery's next look.
        if not self.execution.hands.stopping:
            self.consumer.call_soon(self.consumer.pool.maintain_pool)

    def _after_beat(self) -> None:
        self._note_events()
        self._hearing.check()

    def _note_events(self) -> None:
        dispatcher = getattr(self.consumer, "event_dispatcher", None)
        self.execution.hands.events = bool(dispatcher and dispatcher.enabled)

    # -- the end -----------------------------------------------------------------------------

    def stopping(self, *, cold: bool) -> None:
        """The worker was asked to end. Runs in the handler of a signal."""
        self.execution.hands.stopping = True
        if not cold:
            timer = threading.Timer(self.execution.settings.grace, self._hand_back)
            timer.daemon = True
            timer.start()

    def _hand_back(self) -> None:
        """The time of grace is over: steps that still run are given to other workers."""
        processes = self.execution.hands.processes()
        if not processes:
            return  # what still runs is nobody's step, and Celery's to wait for
        log.warning("Handing running steps back", action="handed_back", processes=len(processes))
        error = runtime_error("WorkerStopped", "its worker was stopped before the task ended")
        for process in processes:
            self.losses.expect(process, error)
            if self.execution.forks:
                _kill(process)
            else:
                self.losses.process_gone(process, None)
        if not self._ended.wait(LAST_SECOND) and not self._runs_others():
            self.stopped()
            os._exit(0)

    def _runs_others(self) -> bool:
        """Whether a task runs that is neither a step's nor ours."""
        return any(
            HEADER not in request.request_dict and not self.execution.owns(request.type)
            for request in set(worker_state.active_requests)
        )

    def stopped(self) -> None:
        """Everything has ended that will: tell the database, and let go of it."""
        if os.getpid() != self._pid:
            return
        with self._end_lock:
            if self._ended.is_set():
                return
            for process in self.execution.hands.processes():
                self.losses.process_gone(process, None)
            self.losses.stop(LAST_SECOND)
            self.heartbeat.stop()
            if self.execution.probes is not None:
                self.execution.probes.close()
            self.execution.close()
            self._ended.set()


def _look() -> None:
    """Nothing: the event loop looks for messages when it has run what it was woken for."""


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
