"""The differences between the supported versions of Celery (5.3.6 to 5.7), kombu and billiard.

All other modules use the same code on every version. `tests/unit/test_celery_versions.py` checks
this module and every other part of these packages that the product hooks into.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import celery

#: Major and minor version of the installed Celery.
CELERY = tuple(int(part) for part in celery.__version__.split(".")[:2])

#: Whether a worker can consume quorum queues: an older one asks RabbitMQ for a prefetch limit
#: over all consumers of a channel, which quorum queues refuse.
CONSUMES_QUORUM_QUEUES = CELERY >= (5, 5)

#: Whether the tracer obeys a message's own `ignore_result`. An older one stores states other than
#: success although the message forbids it.
OBEYS_IGNORE_RESULT = CELERY >= (5, 6)


def terminate_handler_fired() -> bool:
    """Return whether billiard's signal handler is ending this process."""
    from billiard import common

    fired = getattr(common, "terminate_handler_fired", None)
    if fired is not None:
        return bool(fired())
    return bool(common._should_have_exited[0])  # type: ignore[attr-defined]  # noqa: SLF001  below 4.3


def forks_processes(controller: Any) -> bool:
    """Return whether a worker's prefork pool forks its processes; before Celery 5.7 all did."""
    return bool(getattr(controller, "pool_start_method", "fork") == "fork")


def publish_batch(producer: Any) -> AbstractContextManager[Any]:
    """Return a context manager that sends the messages published in it to Redis at its end, in
    one round trip. The producer belongs to this thread meanwhile."""
    if hasattr(producer, "batch"):
        batch: AbstractContextManager[Any] = producer.batch()
        return batch
    return _pipeline_of(producer.channel)


@contextmanager
def _pipeline_of(channel: Any) -> Iterator[None]:
    """Let a Redis channel write to a pipeline (kombu before 5.7, `Channel.conn_or_acquire`)."""
    create = channel._create_client  # noqa: SLF001

    def create_client(asynchronous: bool = False) -> Any:
        return create(asynchronous=True) if asynchronous else pipeline

    with create().pipeline(transaction=False) as pipeline:
        channel._create_client = create_client  # noqa: SLF001
        try:
            yield
        finally:
            channel._create_client = create  # noqa: SLF001
        pipeline.execute()
