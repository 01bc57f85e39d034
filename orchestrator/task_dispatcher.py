"""The Task Dispatcher: ready attempts to the broker, after their transition has committed.

A message is only a hint (DESIGN, How an instance moves): it names the attempt, the worker
claims it in Postgres. So a failed publish never fails a transition: what stays unclaimed is
published again by the beats.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import structlog

from orchestrator.core.values import Attempt
from orchestrator.database.attempts import Ready
from orchestrator.names import MATCH

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

#: The header that marks a message as a step's; `v` is the version of its meaning.
HEADER = "orchestrator"
VERSION = 1

#: The Celery task that brings the waiting stimuli of an instance.
ADVANCE = "orchestrator.advance"


class TaskDispatcher:
    """Publishes attempts and hints through one Celery app, in bounded time."""

    def __init__(self, app: Celery, control_queue: str, timeout: float = 2.0) -> None:
        self._app = app
        self._control_queue = control_queue
        self._timeout = timeout
        self._queues: dict[str, str] = {}

    def queue_of(self, attempt: Attempt) -> str:
        """The queue of an attempt whose document names none: as Celery routes its task."""
        known = self._queues.get(attempt.task)
        if known is None:
            route = self._app.amqp.router.route({}, attempt.task)
            queue = route.get("queue")
            known = str(getattr(queue, "name", queue) or self._app.conf.task_default_queue)
            self._queues[attempt.task] = known
        return known

    def publish(self, attempts: Iterable[Ready]) -> None:
        """Send each attempt's message; what fails is logged, and sent again by a beat."""
        self._send([(ready.task, ready.queue, ready, ()) for ready in attempts])

    def hint(self, *instances: str) -> None:
        """Ask some control worker to bring the waiting stimuli of these instances."""
        self._send([(ADVANCE, self._control_queue, None, (id,)) for id in instances])

    def match(self, *namespaces: str) -> None:
        """Ask some control worker to match the waiting events of these namespaces."""
        self._send([(MATCH, self._control_queue, None, (name,)) for name in namespaces])

    def _send(self, messages: list[tuple[str, str, Ready | None, tuple[str, ...]]]) -> None:
        if not messages:
            return
        sent = 0
        try:
            with self._app.producer_pool.acquire(block=True, timeout=self._timeout) as producer:
                for task, queue, ready, args in messages:
                    self._send_one(producer, task, queue, ready, args)
                    sent += 1
        except Exception as error:  # noqa: BLE001  any broker's any error: the beats make up for it
            log.warning(
                "The broker did not take every message; they will be sent again",
                action="publish_failed",
                sent=sent,
                unsent=len(messages) - sent,
                error=repr(error),
            )

    def _send_one(
        self, producer: Any, task: str, queue: str, ready: Ready | None, args: tuple[str, ...]
    ) -> None:
        amqp = self._app.amqp
        options: dict[str, Any] = {}
        id = ready.id if ready else f"{task}:{args[0]}"
        if ready is not None:
            options["time_limit"] = ready.time_limit
        message = amqp.create_task_message(
            id, task, args=args, kwargs={}, ignore_result=True, **options
        )
        if ready is not None:
            header = {"instance": ready.instance, "step": ready.step, "v": VERSION}
            message.headers[HEADER] = header
        if ready is not None and ready.priority is not None:
            message.properties["priority"] = self._priority(ready.priority)
        amqp.send_task_message(
            producer, task, message, queue=queue, retry=False, timeout=self._timeout
        )

    def _priority(self, priority: int) -> int:
        """9 is the most urgent for us and for AMQP; on Redis it is 0."""
        redis = self._app.conf.broker_url.startswith(("redis", "valkey", "sentinel"))
        return 9 - priority if redis else priority
