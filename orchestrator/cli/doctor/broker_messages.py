"""What stands at the broker, as far as the broker shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from kombu import Connection

from orchestrator.broker_settings import broker_settings, is_redis, reach

#: Messages of one queue that are read; a longer queue is not compared.
MOST = 20_000


def waiting(url: str, queues: Iterable[str], timeout: float = 3.0) -> dict[str, set[str] | None]:
    """For each queue, the ids of the messages that wait in it or are in a worker's hands,
    unacknowledged; None where the broker has messages that it does not show.

    Redis shows all of them, RabbitMQ only how many wait. Raises `BrokerUnavailable`.
    """
    names = sorted(set(queues))
    if not names:
        return {}
    reach(url, timeout)
    where = broker_settings(url)["broker_url"]
    with Connection(where, connect_timeout=timeout) as connection:
        channel: Any = connection.default_channel
        if is_redis(url):
            held = {_id(json.loads(each)[0]) for each in channel.client.hvals("unacked")}
            return {name: _listed(channel, name, held) for name in names}
        return {name: _counted(connection, name) for name in names}


def _listed(channel: Any, queue: str, held: set[str]) -> set[str] | None:
    found = set(held)
    for priority in channel.priority_steps:
        # The name of a priority's list is kombu's own: it has no public way to ask.
        name = channel._q_for_pri(queue, priority)  # noqa: SLF001
        messages = channel.client.lrange(name, 0, MOST)
        if len(messages) > MOST:
            return None
        found.update(_id(json.loads(each)) for each in messages)
    return found


def _id(message: dict[str, Any]) -> str:
    return str((message.get("headers") or {}).get("id"))


def _counted(connection: Connection, queue: str) -> set[str] | None:
    """An empty queue has nobody's message; one that is not there neither."""
    channel: Any = connection.channel()
    try:
        return set() if channel.queue_declare(queue, passive=True).message_count == 0 else None
    except connection.channel_errors:
        return set()
