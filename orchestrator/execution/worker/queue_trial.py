"""Tries whether a worker may consume a queue, before its consumer depends on it.

RabbitMQ closes the channel of a refused command, which ends a worker if it is the channel of its
tasks. On Redis a refused list fails each read of all queues.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from kombu import Queue

from orchestrator.sqs_broker import client_errors, why_refused

#: Reply code of AMQP 0-9-1 for a declaration that differs from the queue, or an invalid argument.
_PRECONDITION_FAILED = 406
#: The longest name of a queue in AMQP 0-9-1, in bytes.
_MAX_NAME = 255


class QueueTrial:
    """Tries queues on a channel of its own; a context manager that closes the channel.

    On Redis it has a connection of its own too. Below kombu 5.7 the end of any connection of a
    transport, such as the garbage collection of a closed channel, stops the reading of all its
    queues: the worker would receive nothing any more.
    """

    def __init__(self, connection: Any) -> None:
        driver = connection.transport.driver_type
        self._is_amqp, self._is_sqs = driver == "amqp", driver == "sqs"
        self._connection = connection if self._is_amqp else connection.clone()
        self._channel: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if not self._is_amqp:
            self._connection.close()

    def why_refused(self, queue: Queue) -> str | None:
        """Declare a queue; return the broker's reason if the worker may not consume it.

        A queue that exists with other properties is used as it is, and so is one that only an
        operator may declare."""
        if self._is_sqs:
            prefix = (self._connection.transport_options or {}).get("queue_name_prefix", "")
            return why_refused(queue.name, prefix) or self._try(
                lambda channel: queue(channel).queue_declare()
            )
        if not self._is_amqp:
            return self._try(lambda channel: queue(channel).declare())  # Redis: LLEN of its lists
        if len(queue.name.encode()) > _MAX_NAME:
            return f"the name {queue.name} is longer than {_MAX_NAME} bytes"
        reason = self._try(lambda channel: queue(channel).declare())
        if reason is not None and self._try(
            lambda channel: channel.queue_declare(queue.name, passive=True)
        ):
            return reason
        queue.no_declare = True  # type: ignore[attr-defined]
        return self._try(lambda channel: _check_read_permission(channel, queue.name))

    def _try(self, action: Callable[[Any], object]) -> str | None:
        """Do something on the channel; return the broker's reason if it refuses."""
        if self._channel is None:
            self._channel = self._connection.channel()
        try:
            action(self._channel)
        except self._refusals() as error:
            self._close()
            if getattr(error, "reply_code", None) == _PRECONDITION_FAILED:
                return None
            return str(getattr(error, "reply_text", None) or error)
        return None

    def _refusals(self) -> tuple[type[BaseException], ...]:
        errors: tuple[type[BaseException], ...] = self._connection.channel_errors
        return (*errors, *client_errors()) if self._is_sqs else errors

    def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with suppress(*self._connection.channel_errors):
                channel.close()


def _check_read_permission(channel: Any, name: str) -> None:
    """Raise the broker's error if the user may not consume a queue.

    RabbitMQ checks the permission first and then refuses this invalid argument (406), so that no
    message is delivered."""
    channel.basic_consume(name, arguments={"x-priority": "invalid"})
