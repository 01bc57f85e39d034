"""Names and declarations of companion queues, their messages, and the turns of a pair."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Exchange, Queue
from kombu.common import Broadcast
from kombu.utils.scheduling import cycle_by_name

from orchestrator.companion_queues import (
    carries_steps,
    companion_name,
    companion_of,
    is_companion,
    users_queue,
)
from orchestrator.execution.worker.step_messages import restore_task_name
from orchestrator.execution.worker.turn_taking import TurnTaking

CONTROL = "orchestrator"


def test_names_lead_back_to_their_queues() -> None:
    assert companion_name("payments", CONTROL) == "payments.orchestrator"
    assert users_queue("payments.orchestrator", CONTROL) == "payments"
    assert users_queue("payments", CONTROL) == "payments"
    assert companion_name(CONTROL, CONTROL) == CONTROL
    assert is_companion("payments.orchestrator", CONTROL)
    assert not is_companion(CONTROL, CONTROL)


def test_a_companion_is_of_the_kind_of_its_queue() -> None:
    queue = Queue(
        "payments",
        Exchange("payments", "topic"),
        "payments.#",
        durable=False,
        auto_delete=True,
        expires=60,
        message_ttl=5,
        max_length=10,
        max_priority=9,
        queue_arguments={
            "x-queue-type": "classic",
            "x-max-priority": 9,
            "x-message-ttl": 1,
            "x-dead-letter-exchange": "dead",
            "x-single-active-consumer": True,
        },
        consumer_arguments={"x-priority": 3},
    )
    companion: Any = companion_of(queue, CONTROL)
    assert companion.name == companion.routing_key == "payments.orchestrator"
    assert companion.exchange.name == ""
    assert companion.queue_arguments == {"x-queue-type": "classic", "x-max-priority": 9}
    assert companion.consumer_arguments == {"x-priority": 3}
    assert (companion.durable, companion.auto_delete) == (False, True)
    assert (companion.expires, companion.message_ttl, companion.max_length) == (None, None, None)


def test_queues_that_carry_no_steps() -> None:
    assert carries_steps(Queue("payments", Exchange("payments"), "payments"))
    assert carries_steps(Queue("payments", routing_key="payments"))
    assert not carries_steps(Queue("mine", exclusive=True))
    assert not carries_steps(Broadcast("all"))
    assert not carries_steps(Queue("copies", Exchange("all", "fanout")))


@pytest.mark.parametrize(
    ("headers", "task"),
    [
        ({"task": "orchestrator.step", "orchestrator": {"task": "shop.pay"}}, "shop.pay"),
        ({"task": "shop.pay", "orchestrator": {"task": "shop.refund"}}, "shop.pay"),
        ({"task": "orchestrator.step", "orchestrator": {"task": ["shop.pay"]}}, None),
        ({"task": "orchestrator.step", "orchestrator": {}}, None),
        ({"task": "orchestrator.step", "orchestrator": "shop.pay"}, None),
        ({"task": "orchestrator.step"}, None),
    ],
)
def test_only_a_steps_message_gets_its_tasks_name(headers: Any, task: str | None) -> None:
    restore_task_name(headers)
    assert headers["task"] == (task or "orchestrator.step")


def test_a_message_without_headers_is_left_to_celery() -> None:
    restore_task_name(None)


@pytest.mark.parametrize("strategy", ["priority", "sorted"])
def test_a_queue_and_its_companion_take_turns(strategy: str) -> None:
    """The first queue that the strategy asks and that has a message is served."""
    turns = TurnTaking(cycle_by_name(strategy)(), CONTROL)
    queues = ["a", "a.orchestrator", "b", "b.orchestrator"]
    turns.update(queues)
    waiting = {"a": 3, "a.orchestrator": 2, "b": 1, "b.orchestrator": 2}
    served = []
    while any(waiting.values()):
        queue = next(name for name in turns.consume(len(queues)) if waiting[name])
        waiting[queue] -= 1
        turns.rotate(queue)
        served.append(queue)
    pairs = [["a", "a.orchestrator"], ["b", "b.orchestrator"]]
    assert served == [*pairs[0], *pairs[0], "a", *pairs[1], "b.orchestrator"]
