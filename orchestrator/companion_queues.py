"""The companion of each queue: steps of the queue ``payments`` travel in ``payments.orchestrator``.

Only workers with ``install(app)`` consume companions. A worker without it, which would run the
body of a step's task without arguments and without a claim, never gets a step. Everywhere else,
in rows, metrics and answers, the queue keeps its own name.
"""

from __future__ import annotations

from kombu import Queue
from kombu.common import Broadcast

#: Arguments of a queue that its companion has too. Lifetimes, lengths and dead letters are not
#: among them: a step's message that RabbitMQ drops or moves would only be published again.
_COPIED = ("x-queue-type", "x-max-priority")


def companion_name(queue: str, control_queue: str) -> str:
    """Return the name of a queue's companion. The control queue is its own companion: no worker
    without `install(app)` consumes it."""
    return queue if queue == control_queue else f"{queue}.{control_queue}"


def is_companion(name: str, control_queue: str) -> bool:
    """Return whether this is the name of a companion."""
    return name.endswith(f".{control_queue}")


def users_queue(name: str, control_queue: str) -> str:
    """Return the queue that a companion belongs to; any other queue's own name."""
    return name.removesuffix(f".{control_queue}")


def carries_steps(queue: Queue) -> bool:
    """Return whether steps can be sent to a queue: many workers receive each message of a
    broadcast, and only one connection can consume an exclusive queue."""
    is_fanout = getattr(queue.exchange, "type", None) == "fanout"
    return not (queue.exclusive or is_fanout or isinstance(queue, Broadcast))


def companion_of(queue: Queue, control_queue: str) -> Queue:
    """Return the declaration of a queue's companion: of the same kind, by the default exchange."""
    name = companion_name(queue.name, control_queue)
    given = queue.queue_arguments or {}
    arguments = {key: given[key] for key in _COPIED if key in given}
    return Queue(
        name,
        routing_key=name,
        durable=queue.durable,
        auto_delete=queue.auto_delete,
        queue_arguments=arguments or None,
        consumer_arguments=queue.consumer_arguments,
        max_priority=getattr(queue, "max_priority", None),
    )
