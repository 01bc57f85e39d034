"""The simulated broker, and the parts of a Celery app that the Task Dispatcher uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from orchestrator.message_names import ADVANCE, HEADER
from orchestrator.task_dispatcher import TaskDispatcher
from tests.simulation.faults import Faults
from tests.simulation.simulated_clock import Killed, Loop, Place

#: The queues of steps and of hints, by the names of their rows.
QUEUES = ("celery", "orchestrator")
#: The same at the broker: steps are in the companion.
AT_BROKER = ("celery.orchestrator", "orchestrator")


class Away(Exception):
    """The broker is not reachable."""


@dataclass(slots=True)
class Message:
    """A message as its consumer sees it."""

    task: str
    id: str
    args: tuple[Any, ...] = ()
    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def instance(self) -> str:
        """What a step's message says of its instance."""
        return str(self.headers.get(HEADER, {}).get("instance"))


class SimBroker:
    """Queues in memory, first in, first out, unless a fault says otherwise."""

    def __init__(self, loop: Loop, faults: Faults) -> None:
        self.loop = loop
        self.faults = faults
        self.away = False
        self.queues: dict[str, list[Message]] = {name: [] for name in AT_BROKER}
        #: Everything that was ever sent, to be replayed.
        self.sent: list[tuple[str, Message]] = []
        self._waiting: list[Place] = []

    # -- sending -----------------------------------------------------------------------------

    def send(self, queue: str, message: Message) -> None:
        """Accept a message, unless a fault strikes. Raise `Away`."""
        label = "hint" if message.task == ADVANCE else "publish"
        loop = self.loop
        loop.reach(label)
        loop.actions += 1
        kind = self.faults.at_message(label) if self.faults.armed else None
        if self.away or kind == "not taken":
            raise Away
        self.sent.append((queue, message))
        if kind == "delayed":
            seconds = self.faults.random.uniform(0.1, 3 * self.faults.simulation.lease)
            loop.at(loop.now + seconds, lambda: self.put(queue, message))
        elif kind != "lost":
            self.put(queue, message)
            if kind == "doubled":
                self.put(queue, message)
        if kind == "killed after":
            assert loop.current is not None
            loop.kill(loop.current.process)
            raise Killed

    def put(self, queue: str, message: Message) -> None:
        """The message is in the queue."""
        self.queues[queue].append(message)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            actor, ticket = self._waiting.pop(0)
            if actor.ticket == ticket and actor.process.alive:
                self.loop.wake((actor, ticket))
                return

    # -- receiving ---------------------------------------------------------------------------

    def take(self, consumes: Callable[[], bool]) -> Message:
        """Wait for a message and remove it from the broker."""
        loop = self.loop
        while True:
            loop.reach("take")
            if not self.away and consumes():
                filled = [queue for queue in self.queues.values() if queue]
                if filled:
                    loop.actions += 1
                    return loop.random.choice(filled).pop(0)
            self._waiting.append(loop.place())
            loop.park("idle")

    def go_away(self, seconds: float) -> None:
        """Be unreachable for a while."""
        self.away = True
        self.loop.at(self.loop.now + seconds, self.come_back)

    def come_back(self) -> None:
        """Be reachable again and wake every consumer."""
        self.away = False
        places, self._waiting = self._waiting, []
        for place in places:
            self.loop.wake(place)

    # -- faults ------------------------------------------------------------------------------

    def flush(self) -> bool:
        """FLUSHALL. False: there was nothing."""
        had = any(self.queues.values())
        for queue in self.queues.values():
            queue.clear()
        return had

    def shuffle(self) -> bool:
        """Reorder the messages. False: there was only one."""
        had = any(len(queue) > 1 for queue in self.queues.values())
        for queue in self.queues.values():
            self.faults.random.shuffle(queue)
        return had

    def replay(self, count: int) -> bool:
        """Deliver old messages again. False: there were none."""
        for queue, message in self.faults.random.choices(self.sent, k=count) if self.sent else ():
            self.put(queue, message)
        return bool(self.sent)


class SimDispatcher(TaskDispatcher):
    """The real Task Dispatcher over a simulated connection."""

    @property
    def _publishers(self) -> Any:
        return self.app


class SimApp:
    """The parts of a Celery app that the Task Dispatcher uses: its producers and their
    connection."""

    driver_type = "redis"

    class Conf:
        """Its settings."""

        broker_url = "redis://simulated"
        task_default_queue = "celery"

    def __init__(self, broker: SimBroker) -> None:
        self.broker = broker
        self.conf = self.Conf()
        self.amqp = self
        self.queues: dict[str, Any] = {}
        self.Router = lambda queues: self
        self.producer_pool = self
        self.connections = self.connection = self
        self.transport = self
        self.channel = object()
        self.connection_errors: tuple[type[Exception], ...] = (Away,)
        self.channel_errors: tuple[type[Exception], ...] = ()

    def batch(self) -> AbstractContextManager[None]:
        """Messages that go together may all be interrupted between any two of them."""
        return nullcontext()

    def collect(self) -> None:
        """The connection is thrown away."""

    def route(self, _: dict[str, Any], __: str) -> dict[str, Any]:
        """Every task goes to the default queue."""
        return {}

    @contextmanager
    def acquire(self, *, block: bool, timeout: float) -> Iterator[SimApp]:
        """A producer."""
        yield self

    def create_task_message(
        self, id: str, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], **_: Any
    ) -> Message:
        """See `celery.app.amqp.AMQP`."""
        return Message(task, id, args)

    def send_task_message(
        self, producer: Any, task: str, message: Message, *, queue: Any, **_: Any
    ) -> None:
        """See `celery.app.amqp.AMQP`."""
        self.broker.send(str(getattr(queue, "name", queue)), message)
