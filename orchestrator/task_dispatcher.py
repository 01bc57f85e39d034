"""The Task Dispatcher: ready attempts to the broker, after their transition has committed.

A message is only a hint (DESIGN, How an instance moves): it names the attempt, the worker
claims it in Postgres. So a failed publish never fails a transition: what stays unclaimed is
published again by the beats.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from kombu import Queue

from orchestrator import broker_settings
from orchestrator.argument_repr import arguments_repr
from orchestrator.clock import monotonic
from orchestrator.core.model import Attempt
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.log import get_logger
from orchestrator.message_names import ADVANCE, MATCH
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics

if TYPE_CHECKING:
    from celery import Celery
    from kombu.pools import ProducerPool

log = get_logger(__name__)

#: The header that marks a message as a step's; `v` is the version of its meaning.
HEADER = "orchestrator"
VERSION = 1

#: Instances that one hint may name: a message costs as much as a small transition, but what
#: stands behind others in a message waits for them.
TOGETHER = 4

#: Messages that go to Redis in one round trip. Where it fails nobody knows which of them
#: arrived: all are sent again, since a second message of an attempt changes nothing.
PORTION = 100

#: What a message is to the metrics: a hint, or a step's.
_KINDS = (("hint",), ("step",))


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the broker: a hint with its arguments, or a step's message."""

    task: str
    queue: str
    arguments: tuple[str, ...] = ()
    step: PublishableAttempt | None = None


def _of_step(step: PublishableAttempt) -> dict[str, Any]:
    """What a step's message says besides its task. The arguments are for people: they are
    shown by Flower and in logs, and read by nobody else."""
    args, kwargs = arguments_repr(step.call) if step.call else ("(...)", "{...}")
    return {"time_limit": step.time_limit, "argsrepr": args, "kwargsrepr": kwargs}


def _of_hint(hint: Message) -> dict[str, Any]:
    """As Celery shows arguments, which takes it long to find out for each message."""
    return {"argsrepr": repr(hint.arguments), "kwargsrepr": "{}"}


@lru_cache(maxsize=1024)
def _queue(name: str) -> Queue:
    """A queue to send to, by the default exchange."""
    return Queue(name, routing_key=name)


class _Returns(threading.local):
    """What the broker has returned to this thread: the name of a queue that is not there."""

    queue: str | None = None


class TaskDispatcher:
    """Publishes attempts and hints through the broker of one Celery app, in bounded time."""

    def __init__(
        self, app: Celery, control_queue: str, timeout: float, meter: Meter | None = None
    ) -> None:
        self._meter = meter or Meter()
        self._app = app
        self._control_queue = control_queue
        self._timeout = timeout
        self._queues: dict[str, str] = {}
        self._returns = _Returns()
        self._missing: set[str] = set()

    @cached_property
    def _publishers(self) -> ProducerPool:
        return broker_settings.publishers(self._app, self._timeout)

    def close(self) -> None:
        """Close the connections; the next message makes new ones."""
        producers = self.__dict__.pop("_publishers", None)
        if producers is not None:
            producers.force_close_all()
            producers.connections.force_close_all()

    def queue_of(self, attempt: Attempt) -> str:
        """The queue of an attempt whose document names none: as Celery routes its task."""
        known = self._queues.get(attempt.task)
        if known is None:
            route = self._app.amqp.router.route({}, attempt.task)
            queue = route.get("queue")
            known = str(getattr(queue, "name", queue) or self._app.conf.task_default_queue)
            self._queues[attempt.task] = known
        return known

    def publish(self, attempts: Iterable[PublishableAttempt]) -> None:
        """Send each attempt's message; what fails is logged, and sent again by a beat."""
        self._send(Message(ready.task, ready.queue, step=ready) for ready in attempts)

    def hint(self, *instances: str) -> None:
        """Ask some control worker to bring the waiting stimuli of these instances."""
        if instances:  # the beats' rounds mostly have none
            self._send(
                Message(ADVANCE, self._control_queue, instances[at : at + TOGETHER])
                for at in range(0, len(instances), TOGETHER)
            )

    def match(self, *namespaces: str) -> None:
        """Ask some control worker to match the waiting events of these namespaces."""
        self._send(Message(MATCH, self._control_queue, (name,)) for name in namespaces)

    def _send(self, messages: Iterable[Message]) -> None:
        waiting = deque(messages)
        if not waiting:
            return
        count, began = len(waiting), monotonic()
        error = self._try(waiting)
        if waiting and monotonic() - began < self._timeout / 2:
            # A connection that the broker has closed meanwhile fails at its first use.
            error = self._try(waiting)
        if waiting:
            self._meter.count(metrics.PUBLISH_FAILURES, (), len(waiting))
            log.warning(
                "The broker did not take every message; they will be sent again",
                action="publish_failed",
                sent=count - len(waiting),
                unsent=len(waiting),
                error=repr(error),
            )

    def _try(self, waiting: deque[Message]) -> Exception | None:
        """Send what waits, first to last, as far as that goes."""
        try:
            with self._publishers.acquire(block=True, timeout=self._timeout) as producer:
                try:
                    while waiting:
                        self._deliver_some(producer, waiting)
                except BaseException:
                    # Nobody knows what the connection will say next: away with it.
                    self._drop_connection(producer)
                    raise
        except Exception as error:  # noqa: BLE001  any broker's any error: the beats make up for it
            return error
        return None

    @staticmethod
    def _drop_connection(producer: Any) -> None:
        producer.connection.collect()

    def _deliver_some(self, producer: Any, waiting: deque[Message]) -> None:
        """Send as many as go together: on Redis a portion in one round trip, else one."""
        count = 1
        if producer.connection.transport.driver_type == "amqp":
            self._deliver(producer, waiting[0])
        else:
            broker_settings.keep_client(producer.channel)
            count = min(len(waiting), PORTION)
            with producer.batch() if count > 1 else nullcontext():
                for at in range(count):
                    self._send_one(producer, waiting[at])
        for _ in range(count):
            sent = waiting.popleft()
            self._meter.count(metrics.MESSAGES, _KINDS[sent.step is not None])

    def _deliver(self, producer: Any, message: Message) -> None:
        """Send one on RabbitMQ, and learn whether its queue is there.

        Users' queues are for their workers to declare: only they know how. A queue that is
        there is not declared by us even if it is ours, lest RabbitMQ refuse an operator's.
        """
        producer.channel.events["basic_return"].add(self._note_return)
        self._returns.queue = None
        self._send_one(producer, message, mandatory=True)
        returned: str | None = self._returns.queue
        if returned is None:
            return
        if message.queue == self._control_queue:
            broker_settings.queue(message.queue, broker_settings.url_of(self._app))(
                producer.channel
            ).declare()
            self._send_one(producer, message)
        elif message.queue not in self._missing:
            self._missing.add(message.queue)
            log.warning(
                "No worker has made this queue yet; its steps wait for one",
                action="queue_missing",
                queue=message.queue,
            )

    def _note_return(self, _error: Exception, _exchange: str, queue: str, _message: Any) -> None:
        self._returns.queue = queue

    def _send_one(self, producer: Any, message: Message, **options: Any) -> None:
        step = message.step
        body = self._app.amqp.create_task_message(
            step.id if step else f"{message.task}:{message.arguments[0]}",
            message.task,
            args=message.arguments,
            kwargs={},
            ignore_result=True,
            **(_of_step(step) if step else _of_hint(message)),
        )
        if step is not None:
            body.headers[HEADER] = {"instance": step.instance, "step": step.step, "v": VERSION}
            if step.priority is not None:
                redis = producer.connection.transport.driver_type == "redis"
                body.properties["priority"] = broker_settings.priority(step.priority, redis=redis)
        self._app.amqp.send_task_message(
            producer,
            message.task,
            body,
            queue=_queue(message.queue),
            declare=(),
            retry=False,
            timeout=self._timeout,
            **options,
        )
