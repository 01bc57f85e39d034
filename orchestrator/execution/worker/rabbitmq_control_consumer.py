"""Consumes the control queue of a worker on RabbitMQ, over a channel of its own.

The control queue is a quorum queue. Celery consumes all queues of a worker over one channel. With
a quorum queue among them it would no longer raise the prefetch count for tasks with an ETA, and
would declare 28 exchanges for delayed delivery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Consumer, Queue
from kombu.common import ignore_errors

from orchestrator.broker_settings import CONNECT_TIMEOUT
from orchestrator.execution.worker.prefetch_limit import slots_of
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from celery import Celery

log = get_logger(__name__)

#: Reply code for a declaration that differs from the existing queue (AMQP 0-9-1).
PRECONDITION_FAILED = 406


def is_rabbitmq(app: Celery) -> bool:
    """Return whether the app's workers consume from RabbitMQ."""
    return bool(app.connection_for_read().transport.driver_type == "amqp")


class ControlConsumer:
    """Consumes the control queue in addition to Celery's consumer; started at each connect."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._consumer: Any = None

    def start(self, consumer: Any) -> None:
        """Start on the connection of Celery's `consumer`.

        It prefetches at most one hint per slot: a hint prefetched by a busy worker waits although
        other workers are idle.
        """
        declare(self.queue, consumer.connection)
        channel = consumer.connection.channel()
        channel.basic_qos(0, slots_of(consumer.pool), False)
        self._consumer = Consumer(
            channel,
            [self.queue],
            on_message=consumer.create_task_handler(),
            on_decode_error=consumer.on_decode_error,
            accept=consumer.app.conf.accept_content,
        )
        self._consumer.consume()

    def stop(self, consumer: Any) -> None:
        """Stop consuming."""
        if self._consumer is not None:
            ignore_errors(consumer, self._consumer.cancel)
            self._consumer = None


def declare(queue: Queue, connection: Any) -> None:
    """Declare a queue; use an existing one with other properties as it is.

    RabbitMQ cannot change a queue's properties, and an operator or another release may have
    chosen them.
    """
    channel = connection.channel()
    try:
        queue(channel).declare()
    except connection.channel_errors as error:
        if error.reply_code != PRECONDITION_FAILED:
            raise
        log.warning(
            "A queue exists with other properties than ours; it is used as it is",
            action="queue_declared_otherwise",
            queue=queue.name,
            error=error.reply_text,
        )
        queue.no_declare = True  # type: ignore[attr-defined]
    else:
        channel.close()


def accept_existing_queues(app: Any) -> None:
    """Let a worker that declares quorum queues consume existing queues of another type.

    A Celery project may have created them before it used this product."""
    queues = [
        queue
        for queue in app.amqp.queues.consume_from.values()
        if (queue.queue_arguments or {}).get("x-queue-type") == "quorum"
    ]
    if not queues:
        return
    try:
        with app.connection(app.conf.broker_read_url, connect_timeout=CONNECT_TIMEOUT) as broker:
            for queue in queues:
                declare(queue, broker)
    except (*broker.connection_errors, OSError) as error:
        log.info("The broker is unavailable", action="broker_absent", error=repr(error))
