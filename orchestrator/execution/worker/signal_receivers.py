"""Receivers of Celery's signals, most of which only a worker's main process gets.

Celery swallows the exceptions of receivers. So correctness never depends on a signal alone:
leases cover an event that no signal reported.
"""

from __future__ import annotations

import gc
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any

from celery import signals

from orchestrator.companion_queues import users_queue
from orchestrator.execution.step.celery_request import LINKED_FIELDS, is_uuid
from orchestrator.execution.worker import pools
from orchestrator.log import get_logger
from orchestrator.message_names import HEADER

if TYPE_CHECKING:
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
    from orchestrator.execution.worker.main_process import MainProcess

log = get_logger(__name__)

#: The worker of this process, or of the process that forked it; at most one.
_workers: list[MainProcess] = []


def set_worker(worker: MainProcess) -> None:
    """Make this worker the receiver of its process's signals."""
    _workers[:] = [worker]


def connect() -> None:
    """Connect the receivers; a second call does nothing."""
    signals.worker_process_init.connect(_child_started, weak=False, dispatch_uid=_uid("init"))
    signals.worker_process_shutdown.connect(_child_stopping, weak=False, dispatch_uid=_uid("exit"))
    signals.worker_shutting_down.connect(_stopping, weak=False, dispatch_uid=_uid("stopping"))
    signals.worker_shutdown.connect(_stopped, weak=False, dispatch_uid=_uid("stopped"))
    signals.task_received.connect(_received, weak=False, dispatch_uid=_uid("received"))
    signals.task_revoked.connect(_revoked, weak=False, dispatch_uid=_uid("revoked"))
    signals.task_unknown.connect(_unknown, weak=False, dispatch_uid=_uid("unknown"))
    signals.task_rejected.connect(_rejected, weak=False, dispatch_uid=_uid("rejected"))


def _uid(name: str) -> str:
    return f"orchestrator.{name}"


# -- start and end of processes ----------------------------------------------------------------


def _child_started(**_: Any) -> None:
    for worker in _workers:
        worker.runtime.become_child()
    if _workers:
        # Exclude the objects from before the fork from garbage collection. A collection would write
        # to them, and so end the sharing of their memory with the parent. Collections are frequent:
        # failed tasks leave cycles of frames.
        gc.freeze()
        gc.collect()


def _child_stopping(**_: Any) -> None:
    for worker in _workers:
        worker.runtime.close()


def _stopping(how: str = "", **_: Any) -> None:
    for worker in _workers:
        worker.stopping(cold=how == "Cold")


def _stopped(**_: Any) -> None:
    for worker in _workers:
        worker.stopped()


# -- receipt of messages ---------------------------------------------------------------------------


def _received(request: Any = None, **_: Any) -> None:
    for worker in _workers:
        worker.heartbeat.received()
        if HEADER in request.request_dict:
            _prepare_step_request(worker, request)
        elif worker.runtime.installed.is_internal_task(request.type):
            _extend_hard_limit(worker.runtime, request)
            request.__class__ = _internal_request(request.__class__)


def _prepare_step_request(worker: MainProcess, request: Any) -> None:
    """Make Celery's main process treat a step's message as a hint: no links, early acknowledge."""
    _, _, embedded = request._payload  # noqa: SLF001
    embedded.update(dict.fromkeys(LINKED_FIELDS))
    request.request_dict.update(dict.fromkeys(LINKED_FIELDS))
    _name_users_queue(worker.runtime, request.request_dict.get("delivery_info"))
    _extend_hard_limit(worker.runtime, request)
    request.__class__ = _step_request(request.__class__)


def _name_users_queue(runtime: WorkerRuntime, delivery: Any) -> None:
    """Let a task see its own queue, in whose companion the message came."""
    if isinstance(delivery, dict) and isinstance(name := delivery.get("routing_key"), str):
        delivery["routing_key"] = users_queue(name, runtime.settings.control_queue)


def _extend_hard_limit(runtime: WorkerRuntime, request: Any) -> None:
    """Add the time for continuations to a hard limit, which holds for all steps of a runner."""
    hard, soft = request.time_limits
    hard = hard or request.task.time_limit
    if hard:
        request.time_limits = (hard + runtime.settings.continuation_budget, soft)


@cache
def _internal_request(celery_class: Hashable) -> Any:
    """Return the request class for internal tasks: a subclass of the task's own request class."""
    base: Any = celery_class

    class InternalRequest(base):  # type: ignore[misc]
        #: Read by `pools.ignore_limits_of_steps`.
        of_orchestrator = True
        acknowledged: bool

        def acknowledge(self) -> None:
            """Acknowledge at once. Celery leaves it to its event loop, which stands still while a
            pool of its own thread runs the task."""
            if self.acknowledged or all(worker.runtime.pool != pools.SOLO for worker in _workers):
                super().acknowledge()
                return
            self._message.ack_log_error(log, self._connection_errors)
            self.acknowledged = True

    return InternalRequest


@cache
def _step_request(celery_class: Hashable) -> Any:
    """Return the request class for steps: a subclass of the task's own request class."""
    base: Any = _internal_request(celery_class)

    class StepRequest(base):  # type: ignore[misc]
        #: The main process stores nothing in the users' result backend either.
        store_errors = False

        def on_accepted(self, pid: int, time_accepted: float) -> None:
            """Acknowledge now, whatever the task's options say. A message that stays
            unacknowledged while its task runs could come twice, or close the channel."""
            super().on_accepted(pid, time_accepted)
            self.acknowledge()

        def on_timeout(self, soft: bool, timeout: float | None) -> None:
            """Record the time limit for which the pool is about to kill the process."""
            for worker in _workers:
                if not soft and self.worker_pid:
                    worker.reporter.expect_limit(self.worker_pid, timeout)
            super().on_timeout(soft, timeout)

    return StepRequest


def _revoked(sender: Any = None, request: Any = None, terminated: bool = False, **_: Any) -> None:
    """End an attempt that an operator has revoked with Celery's means before it started.

    A running one is killed, and the exit of its process is reported."""
    header = getattr(request, HEADER, None)
    if terminated or not isinstance(header, dict):
        return
    attempt, instance = str(request.id), str(header.get("instance"))
    if not is_uuid(attempt) or not is_uuid(instance):
        return
    for worker in _workers:
        worker.reporter.revoked(attempt, instance, sender.name)


def _unknown(name: str = "", id: str = "", message: Any = None, **_: Any) -> None:
    """Keep an attempt of an unknown task ready: a beat publishes it for a worker that has it."""
    if not _workers or HEADER not in (getattr(message, "headers", None) or {}):
        return
    log.warning(
        "This worker does not have a step's task", action="task_unknown", task=name, attempt=id
    )
    if is_uuid(id):
        for worker in _workers:
            worker.reporter.unknown(id, name)


def _rejected(exc: BaseException | None = None, **_: Any) -> None:
    """Log a message that can't be read. If it was a step's, a beat publishes it again."""
    if _workers:
        log.warning("A message could not be read", action="message_rejected", error=repr(exc))
