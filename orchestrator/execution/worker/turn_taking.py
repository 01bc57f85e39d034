"""Lets a queue and its companion take turns where kombu's Redis transport would not.

With the strategies `priority` and `sorted` (``queue_order_strategy``) the transport always asks
the queues in one order: a queue that is never empty would hold up its companion for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.utils.scheduling import priority_cycle

from orchestrator.companion_queues import companion_name, users_queue


class TurnTaking:
    """An order of queues in which a queue and its companion take turns; else as in `cycle`."""

    def __init__(self, cycle: Any, control_queue: str) -> None:
        self._cycle = cycle
        self._control_queue = control_queue
        self._last: dict[str, str] = {}

    def update(self, queues: Iterable[str]) -> None:
        """Replace the queues."""
        self._cycle.update(queues)

    def consume(self, count: int) -> list[str]:
        """Return up to `count` queues in the order in which they are asked."""
        queues = list(self._cycle.consume(count))
        for queue, last in self._last.items():
            pair = (queue, companion_name(queue, self._control_queue))
            if not all(name in queues for name in pair):
                continue
            first, second = sorted(map(queues.index, pair))
            if queues[first] == last:
                queues[first], queues[second] = queues[second], queues[first]
        return queues

    def rotate(self, last_used: str) -> Any:
        """Record the queue of the last message."""
        self._last[users_queue(last_used, self._control_queue)] = last_used
        return self._cycle.rotate(last_used)


def take_turns(channel: Any, control_queue: str) -> None:
    """Let each queue of a Redis channel take turns with its companion. Channels of other
    transports, and the strategy `round_robin`, do so by themselves."""
    cycle = getattr(channel, "_queue_cycle", None)
    if isinstance(cycle, priority_cycle):
        channel._queue_cycle = TurnTaking(cycle, control_queue)  # noqa: SLF001
