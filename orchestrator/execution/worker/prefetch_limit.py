"""Limits prefetching: a message prefetched by a busy worker waits although others are idle.

On Redis a worker takes only messages that it can start at once. Celery has a setting for this
since 5.6 (`worker_disable_prefetch`); the same is done here on every version, so that all of them
behave alike. RabbitMQ hands out at least one message per slot.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from celery.worker import state as worker_state

#: Values of worker_prefetch_multiplier that this module may override: Celery's default, and the
#: smallest one. Any other value is the user's choice.
_DEFAULTS = (4, 1)


def is_users_choice(controller: Any) -> bool:
    """Return whether the users have chosen how much this worker prefetches."""
    is_disabled = controller.app.conf.get("worker_disable_prefetch")
    return controller.prefetch_multiplier not in _DEFAULTS and not is_disabled


def limit_per_slot(controller: Any) -> None:
    """Let a worker hold at most one message per slot that it has not acknowledged."""
    if not is_users_choice(controller):
        controller.prefetch_multiplier = 1


def take_only_startable(consumer: Any) -> None:
    """Let a consumer of kombu's Redis transport take messages only while a slot is free.

    Call it at each (re)connect. A channel of another transport is not changed.
    """
    is_redis = consumer.connection.transport.driver_type == "redis"
    if not is_redis or is_users_choice(consumer.controller):
        return
    qos = consumer.task_consumer.channel.qos
    has_window = qos.can_consume

    def can_consume(_qos: Any) -> bool:
        slots = consumer.controller.max_concurrency or slots_of(consumer.pool)
        return bool(len(worker_state.reserved_requests) < slots and has_window())

    qos.can_consume = MethodType(can_consume, qos)


def slots_of(pool: Any) -> int:
    """Return how many tasks a pool runs at once. Older gevent pools count the running greenlets as
    their processes (Celery 5.3)."""
    return int(pool.limit if getattr(pool, "is_green", False) else pool.num_processes)
