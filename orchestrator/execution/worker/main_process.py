"""The main process of a running worker: its threads, its consumer, its end."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state

from orchestrator.error_handler.task_errors import runtime_error
from orchestrator.execution.worker import greenlet_loop, pools
from orchestrator.execution.worker.child_exit_watcher import ChildExitWatcher
from orchestrator.execution.worker.companion_consumer import CompanionConsumer
from orchestrator.execution.worker.consumer_watchdog import ConsumerWatchdog
from orchestrator.execution.worker.event_loop_calls import EventLoopCalls
from orchestrator.execution.worker.heartbeat import Heartbeat
from orchestrator.execution.worker.lost_attempt_reporter import LostAttemptReporter
from orchestrator.log import get_logger
from orchestrator.message_names import HEADER

if TYPE_CHECKING:
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
    from orchestrator.metrics import Meters

log = get_logger(__name__)

#: Seconds between the release of running steps and a forced exit.
FORCED_EXIT_DELAY = 1.0


class MainProcess:
    """The main process of a worker, in addition to Celery's own part."""

    def __init__(self, runtime: WorkerRuntime) -> None:
        self.runtime = runtime
        self.consumer: Any = None
        self._loop_calls = EventLoopCalls()
        self.reporter = LostAttemptReporter(runtime)
        self.heartbeat = Heartbeat(runtime, self._after_heartbeat)
        self._companions = CompanionConsumer(runtime, self.heartbeat.renew)
        self._watchdog = ConsumerWatchdog(
            runtime, self.heartbeat, lambda: self.consumer, self.call_in_loop
        )
        self._exit_watcher = ChildExitWatcher(self._on_child_exit)
        self._pid = os.getpid()
        self._prepare_processes()
        self._ended = threading.Event()
        self._end_lock = threading.Lock()

    def _prepare_processes(self) -> None:
        """Hide the worker from the commands of workflows, if it may run any; say how well it
        isolates them. The pool's processes are forks of this one."""
        settings = self.runtime.settings
        if not settings.run_shell and not settings.run_script:
            return
        from orchestrator.process_runner import available_isolation
        from orchestrator.process_runner.confinement import hide_memory

        hide_memory()
        log.info(
            "Shell commands and scripts of workflows are allowed",
            action="processes_allowed",
            isolation=available_isolation().value,
            least=settings.run_isolation,
        )

    def start(self) -> None:
        """Start the threads. Call it after the pool has forked: a fork must not copy a lock that
        one of these threads has."""
        self.reporter.start()
        self.heartbeat.start()
        if self.runtime.settings.probe_address and self.runtime.meters is not None:
            self._serve_probes(self.runtime.meters)
        atexit.register(self.stopped)

    def _serve_probes(self, meters: Meters) -> None:
        from orchestrator.execution.process.probe_server import Probes

        where = self.runtime.settings.probe_address
        assert where is not None  # noqa: S101  the caller has checked
        self.runtime.probes = Probes(where, self.heartbeat.alive, self.heartbeat.ready, meters.read)

    def on_connected(self, consumer: Any) -> None:
        """Adopt the consumer after it has (re)connected."""
        self.consumer = consumer
        self._companions.start(consumer)
        self._update_events_flag()
        self.watch_children(consumer.pool)
        if self.runtime.pool == pools.GEVENT:
            greenlet_loop.connect(consumer, self._loop_calls)
            pools.ignore_limits_of_steps(consumer.pool)
        if self.runtime.pool in (pools.THREADS, pools.GEVENT):
            self._wake_after_tasks(consumer.pool)

    def listen(self, hub: Any) -> None:
        """Adopt the event loop that begins after a (re)connect."""
        self._loop_calls.listen(hub)

    def call_in_loop(self, function: Callable[[], object]) -> None:
        """Let the event loop call the function at once; any thread may ask for it."""
        self._loop_calls.call(self.consumer, function)

    def watch_children(self, pool: Any) -> None:
        """Watch the pool's children for exits, by the system and by billiard's callback.

        Celery replaces billiard's callback at each reconnect, so this is called again."""
        billiards = getattr(pool, "_pool", None) if self.runtime.is_prefork else None
        previous = getattr(billiards, "on_process_down", None)
        if billiards is None or getattr(previous, "watched", False):
            return
        self._exit_watcher.watch(billiards)

        def on_process_down(process: Any) -> None:
            self.reporter.on_process_exit(process.pid, process.exitcode)
            if previous is not None:
                previous(process)

        on_process_down.watched = True  # type: ignore[attr-defined]
        billiards.on_process_down = on_process_down

    def _wake_after_tasks(self, pool: Any) -> None:
        """Let the loop poll for messages whenever a thread or a greenlet of the pool becomes free.

        A process's result wakes Celery's loop, theirs do not. Without prefetched messages the loop
        would sleep for up to a second with a free slot."""
        on_apply = pool.on_apply
        if getattr(on_apply, "wakes", False):
            return

        def apply_and_wake(*args: Any, **kwargs: Any) -> Any:
            result = on_apply(*args, **kwargs)
            notify = result.f.add_done_callback if hasattr(result, "f") else result.link
            notify(lambda _: self.call_in_loop(_poll))
            return result

        apply_and_wake.wakes = True  # type: ignore[attr-defined]
        pool.on_apply = apply_and_wake

    def _on_child_exit(self, process: int, exit_code: int | None) -> None:
        self.reporter.on_process_exit(process, exit_code)
        # Let Celery's pool replace the child process that has exited now: the pool's own next check
        # comes later.
        if not self.runtime.in_flight.stopping:
            self.call_in_loop(self.consumer.pool.maintain_pool)

    def _after_heartbeat(self) -> None:
        self._update_events_flag()
        self._watchdog.check()

    def _update_events_flag(self) -> None:
        dispatcher = getattr(self.consumer, "event_dispatcher", None)
        self.runtime.in_flight.events = bool(dispatcher and dispatcher.enabled)

    # -- shutdown of the worker --------------------------------------------------------------

    def stopping(self, *, cold: bool) -> None:
        """Begin the end of the worker. This runs in a signal handler."""
        self.runtime.in_flight.stopping = True
        if not cold:
            timer = threading.Timer(self.runtime.settings.shutdown_grace, self._release_steps)
            timer.daemon = True
            timer.start()

    def _release_steps(self) -> None:
        """Release the steps that still run after the grace period, for other workers."""
        processes = self.runtime.in_flight.busy_processes()
        if not processes:
            return  # no step runs; Celery waits for its other tasks
        log.warning("Releasing running steps", action="steps_released", processes=len(processes))
        error = runtime_error("WorkerStopped", "its worker was stopped before the task ended")
        for process in processes:
            self.reporter.expect_kill(process, error)
            if self.runtime.is_prefork:
                _kill(process)
            else:
                self.reporter.on_process_exit(process, None)
        if not self._ended.wait(FORCED_EXIT_DELAY) and not self._runs_foreign_tasks():
            self.stopped()
            os._exit(0)

    def _runs_foreign_tasks(self) -> bool:
        """Return whether a task runs that is neither a step's nor internal."""
        return any(
            HEADER not in request.request_dict
            and not self.runtime.installed.is_internal_task(request.type)
            for request in set(worker_state.active_requests)
        )

    def stopped(self) -> None:
        """Report the remaining attempts as lost, deregister the worker, close its connections."""
        if os.getpid() != self._pid:
            return
        with self._end_lock:
            if self._ended.is_set():
                return
            for process in self.runtime.in_flight.busy_processes():
                self.reporter.on_process_exit(process, None)
            self.reporter.stop(FORCED_EXIT_DELAY)
            self.heartbeat.stop()
            if self.runtime.probes is not None:
                self.runtime.probes.close()
            self.runtime.close()
            self._ended.set()


def _poll() -> None:
    """Do nothing. Calling this wakes the event loop, which then polls for messages."""


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
