"""What is particular about a worker on RabbitMQ.

The control queue is a quorum queue, and has a channel of its own. Celery consumes all queues
of a worker over one channel; a quorum queue among them would turn off what it does there for
users' classic queues (a prefetch count that grows with the tasks that have an ETA), and have
it declare 28 exchanges for delayed delivery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Consumer, Queue
from kombu.common import ignore_errors

from orchestrator.broker_settings import CONNECT_TIMEOUT
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from celery import Celery

log = get_logger(__name__)

#: How RabbitMQ refuses a declaration that differs from what is there (AMQP 0-9-1).
PRECONDITION_FAILED = 406


def is_rabbitmq(app: Celery) -> bool:
    """Whether the app's workers read from RabbitMQ."""
    return bool(app.connection_for_read().transport.driver_type == "amqp")


class ControlConsumer:
    """Consumes the control queue beside what Celery consumes; made anew at each connect."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._consumer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin, on the connection that Celery's consumer has just made.

        A hint in the hands of a busy worker waits although others are idle, so that no more
        than one for each slot is taken.
        """
        declare(self.queue, consumer.connection)
        channel = consumer.connection.channel()
        channel.basic_qos(0, consumer.pool.num_processes, False)
        self._consumer = Consumer(
            channel,
            [self.queue],
            on_message=consumer.create_task_handler(),
            on_decode_error=consumer.on_decode_error,
            accept=consumer.app.conf.accept_content,
        )
        self._consumer.consume()

    def stop(self, consumer: Any) -> None:
        """Take no more."""
        if self._consumer is not None:
            ignore_errors(consumer, self._consumer.cancel)
            self._consumer = None


def declare(queue: Queue, connection: Any) -> None:
    """Declare a queue; one that stands there with other properties is taken as it is.

    Whoever made it before us, an operator or another release, had a reason, and RabbitMQ lets
    nobody change it.
    """
    channel = connection.channel()
    try:
        queue(channel).declare()
    except connection.channel_errors as error:
        if error.reply_code != PRECONDITION_FAILED:
            raise
        log.warning(
            "A queue is there already, otherwise than we would declare it; taken as it is",
            action="queue_as_it_is",
            queue=queue.name,
            error=error.reply_text,
        )
        queue.no_declare = True  # type: ignore[attr-defined]
    else:
        channel.close()


def accept_what_is_there(app: Any) -> None:
    """Let a worker of quorum queues consume queues of these names that are of another kind:
    those of a Celery project that had them before us."""
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
        log.info("The broker is not there yet", action="broker_absent", error=repr(error))
