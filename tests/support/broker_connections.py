"""Ends the workers' connections to a broker, as a network does."""

from __future__ import annotations

import pytest
import redis
from kombu import pools

from tests.support.rabbitmq import RabbitMQ


def disconnect(request: pytest.FixtureRequest, broker_url: str) -> None:
    """End the workers' connections to the broker, and those of this process."""
    pools.reset()
    if broker_url.startswith("redis"):
        with redis.Redis.from_url(broker_url) as broker:
            for client in broker.client_list():
                if client["cmd"] == "brpop":
                    broker.client_kill_filter(_id=client["id"])
        return
    rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
    rabbitmq.evaluate(
        '[rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:connections()].'
    )
