"""The Task Dispatcher: publishes ready attempts after their transition has committed.

A message is only a hint (DESIGN, How an instance moves): it names the attempt, which the worker
claims in Postgres. So a failed publish never fails a transition: the beats publish unclaimed
attempts again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from kombu import Queue
from kombu.exceptions import LimitExceeded

from orchestrator import broker_settings
from orchestrator.argument_repr import arguments_repr
from orchestrator.celery_versions import publish_batch
from orchestrator.clock import monotonic
from orchestrator.companion_queues import companion_name
from orchestrator.core.model import Attempt
from orchestrator.database.workers.announced_routes import AnnouncedRoutes
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.log import get_logger
from orchestrator.message_names import ADVANCE, HEADER, HEADER_VERSION, MATCH, STEP
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.outage_log import BROKER

if TYPE_CHECKING:
    from celery import Celery
    from kombu.pools import ProducerPool

log = get_logger(__name__)

#: Seconds that a publish may take. A message that takes longer is published again by a beat.
PUBLISH_TIMEOUT = 1.0

#: Largest number of instances in one hint. A message costs as much as a small transition, but
#: each instance in it waits for the ones before it.
INSTANCES_PER_HINT = 4

#: Largest number of messages sent to Redis in one round trip. After an error all of them are sent
#: again, since any may be missing; a second message of an attempt changes nothing.
REDIS_BATCH = 100

#: The metrics' labels of a hint and of a step's message.
_KINDS = (("hint",), ("step",))


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the broker: a hint with its arguments, or that of a step."""

    task: str
    queue: str
    arguments: tuple[str, ...] = ()
    step: PublishableAttempt | None = None


def _step_options(step: PublishableAttempt) -> dict[str, Any]:
    """Return the options of a step's message. The arguments are for display in Flower and logs."""
    args, kwargs = arguments_repr(step.call) if step.call else ("(...)", "{...}")
    return {"time_limit": step.time_limit, "argsrepr": args, "kwargsrepr": kwargs}


def _hint_options(hint: Message) -> dict[str, Any]:
    """Return the options of a hint. Celery would compute the same texts, but slowly."""
    return {"argsrepr": repr(hint.arguments), "kwargsrepr": "{}"}


@lru_cache(maxsize=1024)
def _queue(name: str) -> Queue:
    """Return the queue to publish to, through the default exchange."""
    return Queue(name, routing_key=name)


class _Returns(threading.local):
    """The name of the missing queue for which the broker has returned this thread's message."""

    queue: str | None = None


class TaskDispatcher:
    """Publishes attempts and hints through the broker of one Celery app, in bounded time.

    `timeout`: longest wait for the broker, in seconds. `routes`: the announced ones; without them
    all tasks go to the app's default queue. `follows_options`: the app is not a user's, so that it
    names queues in Redis as the announced options say. Threads may share a dispatcher.
    """

    def __init__(
        self,
        app: Celery,
        control_queue: str,
        timeout: float,
        meter: Meter | None = None,
        routes: AnnouncedRoutes | None = None,
        *,
        follows_options: bool = False,
    ) -> None:
        self._meter = meter or Meter()
        self.app = app
        self._control_queue = control_queue
        self._timeout = timeout
        self._routes = routes
        self._follows_options = follows_options
        self._options: Mapping[str, Any] = {}
        self._returns = _Returns()
        self._missing: set[str] = set()

    @cached_property
    def _publishers(self) -> ProducerPool:
        return broker_settings.publishers(self.app, self._timeout, self._options)

    def close(self) -> None:
        """Close the connections; the next message opens new ones."""
        producers = self.__dict__.pop("_publishers", None)
        if producers is not None:
            producers.force_close_all()
            producers.connections.force_close_all()

    def queue_of(self, attempt: Attempt) -> str:
        """Return the queue to which an attempt's task is routed, if its document names none: the
        one that a worker has announced, else the default one."""
        if self._routes is None:
            return str(self.app.conf.task_default_queue)
        return self._routes.queue_of(attempt.task)

    def refresh_routes(self) -> None:
        """Read the announced routes anew if they are too old; call it outside of a transaction.

        Connections of before are closed if the options of the broker have changed."""
        if self._routes is None:
            return
        self._routes.refresh()
        if self._follows_options and self._routes.options != self._options:
            self._options = self._routes.options
            self.close()

    def publish(self, attempts: Iterable[PublishableAttempt]) -> None:
        """Send each attempt's message. A failure is logged, and a beat sends the message again."""
        self._send(Message(ready.task, ready.queue, step=ready) for ready in attempts)

    def hint(self, *instances: str) -> None:
        """Ask a control worker to process the inboxes of these instances."""
        if instances:  # most rounds of a beat have none
            self._send(
                Message(ADVANCE, self._control_queue, instances[at : at + INSTANCES_PER_HINT])
                for at in range(0, len(instances), INSTANCES_PER_HINT)
            )

    def match(self, *namespaces: str) -> None:
        """Ask a control worker to match the unmatched events of these namespaces."""
        self._send(Message(MATCH, self._control_queue, (name,)) for name in namespaces)

    def _send(self, messages: Iterable[Message]) -> None:
        waiting = deque(messages)
        if not waiting:
            return
        if self._follows_options:
            self.refresh_routes()  # messages are sent after their transaction
        count, started_at = len(waiting), monotonic()
        error = self._send_waiting(waiting)
        if waiting and monotonic() - started_at < self._timeout / 2:
            # Sending has failed within half of the timeout. Try once more to send the remaining
            # messages: the broker may have closed the connection while the connection was idle.
            error = self._send_waiting(waiting)
        if error is not None and not self._is_brokers(error):
            error = self._send_one_by_one(waiting)
        if waiting:
            self._meter.count(metrics.PUBLISH_FAILURES, (), len(waiting))
        if error is None:
            BROKER.answered()
        elif self._is_brokers(error):
            BROKER.failed(repr(error), sent=count - len(waiting), unsent=len(waiting))

    def _is_brokers(self, error: Exception) -> bool:
        """Return whether the broker or the connection to it caused the error."""
        theirs = broker_settings.broker_errors(self._publishers.connections.connection)
        return isinstance(error, (LimitExceeded, *theirs))

    def _send_one_by_one(self, waiting: deque[Message]) -> Exception | None:
        """Send each message by itself, so that one that cannot be sent does not hold up the others.
        It stays in `waiting`, and its error is logged in full."""
        error: Exception | None = None
        for _ in range(len(waiting)):
            message = waiting.popleft()
            error = self._send_waiting(deque((message,)))
            if error is None:
                continue
            waiting.append(message)
            if self._is_brokers(error):
                break
            log.error(
                "A message cannot be sent",
                action="message_unsendable",
                task=message.task,
                queue=message.queue,
                attempt=message.step.id if message.step else None,
                exc_info=error,
            )
        return error

    def _send_waiting(self, waiting: deque[Message]) -> Exception | None:
        """Send the waiting messages in order and remove each; return the error that stopped it."""
        try:
            with self._publishers.acquire(block=True, timeout=self._timeout) as producer:
                try:
                    while waiting:
                        self._deliver_some(producer, waiting)
                except BaseException:
                    # Close the connection instead of using it again: replies to the failed command
                    # may still arrive on it and would be taken for replies to the next command.
                    self._drop_connection(producer)
                    raise
        except Exception as error:  # noqa: BLE001  each broker has its own errors; the beats send again
            return error
        return None

    @staticmethod
    def _drop_connection(producer: Any) -> None:
        producer.connection.collect()

    def _deliver_some(self, producer: Any, waiting: deque[Message]) -> None:
        """Send one message, on Redis up to `REDIS_BATCH` in one round trip."""
        count = 1
        driver = producer.connection.transport.driver_type
        if driver == "amqp":
            self._deliver(producer, waiting[0])
        elif driver == "sqs":
            self._deliver_to_sqs(producer, waiting[0])
        else:
            broker_settings.keep_client(producer.channel)
            count = min(len(waiting), REDIS_BATCH)
            with publish_batch(producer) if count > 1 else nullcontext():
                for at in range(count):
                    self._send_one(producer, waiting[at])
        for _ in range(count):
            sent = waiting.popleft()
            self._meter.count(metrics.MESSAGES, _KINDS[sent.step is not None])

    def _deliver(self, producer: Any, message: Message) -> None:
        """Send one message on RabbitMQ, which returns it if its queue is missing.

        Only users' workers know how to declare their queues. Our own queue is declared only if
        it is missing: RabbitMQ would refuse to declare one that an operator made differently.
        """
        producer.channel.events["basic_return"].add(self._on_return)
        self._returns.queue = None
        self._send_one(producer, message, mandatory=True)
        returned: str | None = self._returns.queue
        if returned is None:
            return
        if message.queue == self._control_queue:
            broker_settings.queue(message.queue, broker_settings.url_of(self.app))(
                producer.channel
            ).declare()
            self._send_one(producer, message)
        elif message.queue not in self._missing:
            self._missing.add(message.queue)
            log.warning(
                "No worker has declared this queue yet; its steps wait for one",
                action="queue_missing",
                queue=message.queue,
            )

    def _deliver_to_sqs(self, producer: Any, message: Message) -> None:
        """Send one message on SQS. Its queue is created where it is missing: a worker may come
        later, and kombu sends to no missing queue."""
        channel, (_, name) = producer.channel, self._at_broker(message)
        if channel.canonical_queue_name(name) not in channel._queue_cache:  # noqa: SLF001
            _queue(name)(channel).queue_declare()
        self._send_one(producer, message)

    def _on_return(self, _error: Exception, _exchange: str, queue: str, _message: Any) -> None:
        self._returns.queue = queue

    def _at_broker(self, message: Message) -> tuple[str, str]:
        """Return a message's task name and queue at the broker, where only workers with
        `install(app)` see steps."""
        if message.step is None:
            return message.task, message.queue
        return STEP, companion_name(message.queue, self._control_queue)

    def _send_one(self, producer: Any, message: Message, **options: Any) -> None:
        step = message.step
        name, queue = self._at_broker(message)
        body = self.app.amqp.create_task_message(
            step.id if step else f"{message.task}:{message.arguments[0]}",
            name,
            args=message.arguments,
            kwargs={},
            ignore_result=True,
            **(_step_options(step) if step else _hint_options(message)),
        )
        if step is not None:
            body.headers[HEADER] = {
                "instance": step.instance,
                "step": step.step,
                "task": message.task,
                "v": HEADER_VERSION,
            }
            if step.priority is not None:
                redis = producer.connection.transport.driver_type == "redis"
                body.properties["priority"] = broker_settings.priority(step.priority, redis=redis)
        self.app.amqp.send_task_message(
            producer,
            name,
            body,
            queue=_queue(queue),
            declare=(),
            retry=False,
            timeout=self._timeout,
            **options,
        )
