"""What is particular to Amazon SQS as the broker (kombu's transport `SQS`).

SQS delivers a message at least once, and again when it stays unacknowledged for its queue's
visibility timeout. Messages are hints here, so a second one changes nothing. SQS has no broadcast:
Celery's remote control, events and `celery inspect` do not work on it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigurationError

if TYPE_CHECKING:
    from kombu import Queue

SQS = frozenset({"sqs"})

#: Options of kombu's transport by which all processes must find the same queues.
SHARED_OPTIONS = ("queue_name_prefix", "region")

#: Characters in the name of an SQS queue, at most.
MAX_NAME = 80

_FIFO = ".fifo"

#: The errors with which SQS, or kombu for it, refuses a request; kombu has not had all of them
#: from the beginning.
_REFUSALS = (
    "ClientError",
    "AccessDeniedQueueException",
    "DoesNotExistQueueException",
    "InvalidQueueException",
    "UndefinedQueueException",
)


def settings() -> dict[str, Any]:
    """Return Celery's settings for SQS.

    Raises:
        ConfigurationError: kombu's requirements for SQS are not installed.
    """
    if find_spec("boto3") is None:
        raise ConfigurationError("sqs:// needs boto3: install celery[sqs]")
    return {"worker_enable_remote_control": False, "broker_transport_options": {}}


def client_errors() -> tuple[type[Exception], ...]:
    """Return the errors with which SQS refuses a request; kombu counts them neither among those of
    a connection nor among those of a channel."""
    transport = import_module("kombu.transport.SQS")
    return tuple(getattr(transport, name) for name in _REFUSALS if hasattr(transport, name))


def why_refused(companion: str, prefix: str = "") -> str | None:
    """Return why steps cannot be sent through the companion of a queue; None if they can."""
    if f"{_FIFO}." in companion:
        return "it belongs to a FIFO queue of SQS, whose order steps would not keep"
    if len(prefix + companion) > MAX_NAME:
        return f"the name {prefix}{companion} is longer than {MAX_NAME} characters"
    return None


def refuse_fifo(queue: Queue) -> Queue:
    """Return one of our own queues.

    Raises:
        ConfigurationError: it is a FIFO queue.
    """
    if queue.name.endswith(_FIFO):
        raise ConfigurationError(
            f"the queue {queue.name} is a FIFO queue of SQS: name a standard queue"
            " (ORCHESTRATOR_CONTROL_QUEUE, ORCHESTRATOR_DEFAULT_QUEUE)"
        )
    return queue
