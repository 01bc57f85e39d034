"""Drops messages that no program of ours or of Celery sends, whatever bytes they are.

An exception while the main process reads, decodes or dispatches a message would end the worker, or
leave the message unacknowledged: it would count as one that the worker works on, and its slot would
take no other message any more. So each of these places drops the message instead, acknowledged: at
most the message is lost. A step's is published again by a beat.

Errors of the broker's connection are left to Celery, which connects again.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery.worker import state as worker_state

from orchestrator.clock import monotonic
from orchestrator.execution.worker.message_shape import wrong_part
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from kombu import Message

log = get_logger(__name__)

#: Seconds between two log lines about dropped messages.
LOG_INTERVAL = 1.0
#: Longest text of an error in such a line: it may contain the message.
_MAX_ERROR = 300


class DroppedMessages:
    """Logs dropped messages, at most one line in `LOG_INTERVAL`, with the number of the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._unlogged = 0

    def add(self, reason: object) -> None:
        """Count a dropped message, and log it unless another one was logged just before."""
        with self._lock:
            now = monotonic()
            if now < self._next:
                self._unlogged += 1
                return
            self._next = now + LOG_INTERVAL
            others, self._unlogged = self._unlogged, 0
        text = reason if isinstance(reason, str) else repr(reason)
        log.warning(
            "A message could not be read and was dropped",
            action="message_rejected",
            error=text[:_MAX_ERROR],
            others_before=others,
        )


def protect(consumer: Any) -> None:
    """Protect a worker's consumer and its pool; call it at each (re)connect, before the event loop
    begins."""
    dropped = DroppedMessages()
    # Leave KeyError out of the errors of a connection, although kombu's Redis transport lists it
    # there. Here a KeyError comes from a message that cannot be read.
    known = (*consumer.connection_errors, OSError)
    errors = tuple(error for error in known if error is not KeyError)
    _protect_dispatch(consumer, dropped, errors)
    _protect_start(consumer.controller, dropped, errors)
    _protect_transport(consumer.task_consumer.channel, dropped, errors)
    _protect_pool(consumer.pool, dropped)


def _protect_dispatch(
    consumer: Any, dropped: DroppedMessages, errors: tuple[type[BaseException], ...]
) -> None:
    """Let the consumer's handlers drop what they can't dispatch."""
    create = type(consumer).create_task_handler.__get__(consumer)

    def drop(message: Message, reason: object) -> None:
        dropped.add(reason)
        _release_request(message)
        if not message.acknowledged:
            message.ack_log_error(logging.getLogger(__name__), errors)

    def create_task_handler(*args: Any, **options: Any) -> Callable[[Message], None]:
        handle = create(*args, **options)

        def on_message(message: Message) -> None:
            reason = wrong_part(message)
            try:
                if reason is None:
                    handle(message)
            except errors:
                raise
            except Exception as error:  # noqa: BLE001  whatever the message causes
                reason = repr(error)
            if reason is not None:
                drop(message, reason)

        return on_message

    consumer.create_task_handler = create_task_handler
    consumer.on_decode_error = consumer.task_consumer.on_decode_error = drop


def _protect_start(
    controller: Any, dropped: DroppedMessages, errors: tuple[type[BaseException], ...]
) -> None:
    """Let a worker drop a request that it can't pass to its pool, and free the pool's slot.

    Celery waits for a slot of the prefork pool by a semaphore, which it releases when the task
    ends: an exception in between would keep the slot."""
    start = type(controller)._process_task.__get__(controller)  # noqa: SLF001

    def start_or_drop(request: Any) -> None:
        try:
            start(request)
        except errors:
            raise
        except Exception as error:  # noqa: BLE001  whatever the message causes
            dropped.add(error)
            worker_state.task_ready(request)
            if not request.acknowledged:
                request.acknowledge()
            if hasattr(controller, "_quick_release"):
                controller._quick_release()  # noqa: SLF001

    controller._process_task = start_or_drop  # noqa: SLF001


def _release_request(message: Message) -> None:
    """Free the slot that Celery has reserved for a message before it could pass it to the pool."""
    headers: Any = message.headers
    id = headers.get("id") if isinstance(headers, dict) else None
    request = worker_state.requests.get(id) if isinstance(id, str) else None
    if request is not None and request.message is message:
        worker_state.task_ready(request)


def _protect_transport(
    channel: Any, dropped: DroppedMessages, errors: tuple[type[BaseException], ...]
) -> None:
    """Let a channel of kombu's Redis transport drop what it can't read.

    kombu reads the envelopes in the worker's event loop (`Channel._brpop_read`), and passes them to
    the transport's `_deliver`. Channels of other transports are not changed: their envelopes are
    not text.
    """
    handlers = getattr(channel, "handlers", None)
    if not isinstance(handlers, dict) or "BRPOP" not in handlers:
        return
    handlers["BRPOP"] = _reader(handlers["BRPOP"], dropped)
    transport = channel.connection
    deliver = type(transport)._deliver.__get__(transport)  # noqa: SLF001

    def deliver_or_drop(message: Any, queue: str) -> None:
        try:
            deliver(message, queue)
        except errors:
            raise
        except Exception as error:  # noqa: BLE001  whatever the message causes
            dropped.add(error)

    transport._deliver = deliver_or_drop  # noqa: SLF001


def _reader(read: Callable[..., Any], dropped: DroppedMessages) -> Callable[..., Any]:
    @functools.wraps(read)
    def read_or_drop(**options: Any) -> Any:
        try:
            return read(**options)
        except (ValueError, TypeError, RecursionError) as error:  # the envelope is not JSON
            dropped.add(error)
            return True

    return read_or_drop


def _protect_pool(pool: Any, dropped: DroppedMessages) -> None:
    """Let a pool of threads end a request whose message its thread can't decode. A process of the
    prefork pool reports any exception; a thread would keep it, and the request its slot."""
    from celery.concurrency import thread

    if not isinstance(pool, thread.TaskPool):
        return
    apply = type(pool).on_apply.__get__(pool)

    def on_apply(target: Callable[..., Any], *args: Any, **options: Any) -> Any:
        @functools.wraps(target)
        def run(*arguments: Any, **keywords: Any) -> Any:
            try:
                return target(*arguments, **keywords)
            except Exception as error:  # noqa: BLE001  whatever the message causes
                dropped.add(error)
                return 1, ExceptionInfo(), 0.0

        return apply(run, *args, **options)

    vars(pool)["on_apply"] = on_apply
