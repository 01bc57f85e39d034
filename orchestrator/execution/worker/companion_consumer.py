"""Consumes the companion of each queue of a worker, beside Celery's own consumer of the queue.

Celery's consumer takes the messages of both over one channel, so that they share the prefetch
limit and the slots. Companions are not among the app's queues: one that the broker refuses would
end the whole worker there. So each is tried first, on a channel of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kombu import Queue

from orchestrator.companion_queues import (
    carries_steps,
    companion_name,
    companion_of,
    is_companion,
    users_queue,
)
from orchestrator.execution.worker.queue_trial import QueueTrial
from orchestrator.execution.worker.step_messages import restore_task_names
from orchestrator.execution.worker.turn_taking import take_turns
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: The reason of a companion that an operator has cancelled.
_BY_OPERATOR = "an operator has cancelled it by remote control"


class CompanionConsumer:
    """The companions that a worker consumes. `on_change` is called when they have changed."""

    def __init__(self, runtime: WorkerRuntime, on_change: Callable[[], None]) -> None:
        self._runtime = runtime
        self._control = runtime.settings.control_queue
        self._on_change = on_change

    def start(self, consumer: Any) -> None:
        """Take the companion of each queue of Celery's `consumer`. Call it at each (re)connect:
        Celery has created its consumer, and consumes once all bootsteps have started."""
        restore_task_names(consumer)
        self._follow_remote_control(consumer)
        tasks = consumer.task_consumer
        take_turns(tasks.channel, self._control)
        refused: dict[str, str] = {}
        order: list[str] = []
        with QueueTrial(consumer.connection) as trial:
            for queue in tasks.queues:
                order.append(queue.name)
                companion = self._companion(queue, trial, refused)
                if companion is not None:
                    tasks.add_queue(companion)
                    order.append(companion.name)
        # kombu asks Redis for messages in the order of this list of queues. Put each companion
        # queue directly after its queue, so that both have the same place in the order.
        queues = {queue.name: queue for queue in tasks.queues}
        names = filter(self._is_ours, order) if self._steps_only else order
        tasks.queues = [queues[name] for name in dict.fromkeys(names)]
        self._set_refused(refused)

    @property
    def _steps_only(self) -> bool:
        return self._runtime.settings.steps_only

    def _is_ours(self, name: str) -> bool:
        return name == self._control or is_companion(name, self._control)

    def _companion(self, queue: Queue, trial: QueueTrial, refused: dict[str, str]) -> Queue | None:
        """Return the companion of a queue; None if it has none, or if it cannot be consumed: then
        add the reason to `refused`."""
        if self._is_ours(queue.name) or not carries_steps(queue):
            return None
        known = self._runtime.refused_queues.get(queue.name)
        companion = companion_of(queue, self._control)
        reason = _BY_OPERATOR if known == _BY_OPERATOR else trial.why_refused(companion)
        if reason is None:
            return companion
        refused[queue.name] = reason
        if reason != known:
            log.error(
                "The broker refuses the queue of steps; this worker takes no steps of its queue",
                action="companion_refused",
                queue=queue.name,
                companion=companion.name,
                error=reason,
            )
        return None

    def _set_refused(self, refused: dict[str, str]) -> None:
        self._runtime.refused_queues = refused
        self._on_change()

    # -- remote control -----------------------------------------------------------------------

    def _follow_remote_control(self, consumer: Any) -> None:
        """Let the commands add_consumer and cancel_consumer move a queue's companion too."""
        add, cancel = consumer.add_task_queue, consumer.cancel_task_queue
        if getattr(add, "moves_companions", False):
            return

        def add_task_queue(queue: str, *args: Any, **options: Any) -> None:
            name = users_queue(queue, self._control)
            if name == queue and (not self._steps_only or queue == self._control):
                add(queue, *args, **options)
            self._add(consumer, name)

        def cancel_task_queue(queue: str) -> None:
            cancel(queue)
            self._cancel(consumer, queue)

        add_task_queue.moves_companions = True  # type: ignore[attr-defined]
        consumer.add_task_queue, consumer.cancel_task_queue = add_task_queue, cancel_task_queue

    def _add(self, consumer: Any, name: str) -> None:
        """Consume the companion of a queue, even if an operator has cancelled it before."""
        queues, tasks = consumer.app.amqp.queues, consumer.task_consumer
        queue = queues[name] if name in queues else Queue(name, routing_key=name)
        if self._steps_only:
            queues.select_add(queue)
        refused = dict(self._runtime.refused_queues)
        if refused.pop(queue.name, None) == _BY_OPERATOR:
            self._runtime.refused_queues = refused
        with QueueTrial(consumer.connection) as trial:
            companion = self._companion(queue, trial, refused)
        if companion is not None and not tasks.consuming_from(companion.name):
            tasks.add_queue(companion)
            tasks.consume()
        self._set_refused(refused)

    def _cancel(self, consumer: Any, name: str) -> None:
        queue = consumer.app.amqp.queues.aliases.get(name)
        name = name if queue is None else queue.name
        refused = dict(self._runtime.refused_queues)
        if is_companion(name, self._control):
            refused[users_queue(name, self._control)] = _BY_OPERATOR
        else:
            refused.pop(name, None)
            consumer.task_consumer.cancel_by_queue(companion_name(name, self._control))
        self._set_refused(refused)
