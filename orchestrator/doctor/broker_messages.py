"""Reads which messages the broker has, as far as the broker shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from kombu import Connection

from orchestrator.broker_settings import (
    broker_errors,
    broker_settings,
    is_redis,
    reach,
    with_announced,
)
from orchestrator.companion_queues import companion_name

#: Largest number of messages of a queue that are read; a longer queue is not compared.
MAX_MESSAGES = 20_000


def waiting(
    url: str,
    queues: Iterable[str],
    control_queue: str,
    options: Mapping[str, Any] | None = None,
    timeout: float = 3.0,
) -> dict[str, set[str] | None]:
    """Return the ids of the messages in each queue's companion: waiting, or delivered and not
    acknowledged. On Redis those in the queue itself are included, where an earlier release has sent
    its steps.

    None stands for a queue with messages that the broker does not show: Redis shows all messages,
    RabbitMQ and SQS only their number. Raises `BrokerUnavailable`.
    """
    names = sorted(set(queues))
    if not names:
        return {}
    reach(url, timeout)
    where = broker_settings(url)["broker_url"]
    transport = with_announced(url, options or {})
    with Connection(where, transport_options=transport, connect_timeout=timeout) as connection:
        channel: Any = connection.default_channel
        if is_redis(url):
            unacknowledged = {_id(json.loads(each)[0]) for each in channel.client.hvals("unacked")}
            lists = {name: {name, companion_name(name, control_queue)} for name in names}
            return {name: _listed(channel, of, unacknowledged) for name, of in lists.items()}
        return {name: _counted(connection, companion_name(name, control_queue)) for name in names}


def _listed(channel: Any, queues: Iterable[str], unacknowledged: set[str]) -> set[str] | None:
    ids = set(unacknowledged)
    for queue, priority in product(queues, channel.priority_steps):
        # Call a private method of kombu: it has no public function for the name of the Redis list
        # that contains a queue's messages of one priority.
        name = channel._q_for_pri(queue, priority)  # noqa: SLF001
        messages = channel.client.lrange(name, 0, MAX_MESSAGES)
        if len(messages) > MAX_MESSAGES:
            return None
        ids.update(_id(json.loads(each)) for each in messages)
    return ids


def _id(message: dict[str, Any]) -> str:
    return str((message.get("headers") or {}).get("id"))


def _counted(connection: Connection, queue: str) -> set[str] | None:
    """Return an empty set for an empty or missing queue, None for one with messages."""
    try:
        channel: Any = connection.channel()
        return set() if channel.queue_declare(queue, passive=True).message_count == 0 else None
    except broker_errors(connection):
        return set()
