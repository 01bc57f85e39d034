"""The queue to which a Celery app routes each of its tasks, asked of the app's own router.

The router sees what Celery would give it (options, type), except arguments: a step's are known only
at its claim. Nothing is added to the app's queues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kombu import Exchange, Queue

from orchestrator.companion_queues import carries_steps
from orchestrator.database.workers.route_queries import TaskRoute
from orchestrator.message_names import ADVANCE, CALL, MATCH


def routes_of(app: Any) -> Iterator[TaskRoute]:
    """Yield the route of each task that can be a step, our calls among them."""
    router = _Router(app)
    for name in sorted(app.tasks):
        if name == CALL:
            yield TaskRoute(CALL, str(app.conf.task_default_queue))
        elif not name.startswith("celery.") and name not in (ADVANCE, MATCH):
            yield router.route_of(name)


class _Router:
    def __init__(self, app: Any) -> None:
        self._app = app
        self._queues = _Queues(app)
        self._router = app.amqp.Router(queues=self._queues)

    def route_of(self, name: str) -> TaskRoute:
        """Return a task's route without arguments."""
        task = self._app.tasks[name]
        options = {
            key: value
            for key, value in task._get_exec_options().items()  # noqa: SLF001
            if value is not None
        }
        seen = _Seen()
        try:
            route = self._router.route(options, name, _arguments(seen), _Keywords(seen), task)
            queue, problem = self._queue_of(route)
        except Exception as error:  # noqa: BLE001  a router is the user's code
            queue, problem = None, f"its router raises {type(error).__name__}: {error}"
        if problem is None and seen.read:
            problem = "its router reads arguments, which a step's route cannot depend on"
        return TaskRoute(name, queue, problem)

    def _queue_of(self, route: dict[str, Any]) -> tuple[str | None, str | None]:
        """Return the queue to which a route leads, and what is wrong with the route."""
        queue = route.get("queue")
        if queue is None:
            return self._bound_queue(route)
        if isinstance(queue, Queue) and not carries_steps(queue):
            return None, f"it is routed to {queue.name}, a broadcast or exclusive queue"
        return str(getattr(queue, "name", queue)), None

    def _bound_queue(self, route: dict[str, Any]) -> tuple[str | None, str | None]:
        """Return the one queue that is bound to a route's exchange and key."""
        conf = self._app.conf
        exchange = route.get("exchange")
        exchange = getattr(exchange, "name", exchange)
        exchange = exchange or conf.task_default_exchange or conf.task_default_queue
        key = str(route.get("routing_key") or conf.task_default_routing_key or "")
        found = [
            queue.name
            for queue in dict.values(self._app.amqp.queues)
            if queue.exchange and queue.exchange.name == exchange and _takes(queue, key)
        ]
        if len(found) == 1:
            return found[0], None
        return None, f"its route (exchange {exchange}, key {key}) leads to {len(found)} queues"


def _takes(queue: Queue, key: str) -> bool:
    """Return whether a message with this key reaches the queue from its exchange."""
    kind = queue.exchange.type
    if kind == "topic":
        return _matches(queue.routing_key or "", key)
    return kind == "fanout" or queue.routing_key == key


def _matches(pattern: str, key: str) -> bool:
    """Return whether a topic's pattern matches a key: ``*`` is one word, ``#`` any number."""
    words = {"*": r"\.[^.]+", "#": r"(?:\.[^.]*)*"}
    regex = "".join(words.get(word, r"\." + re.escape(word)) for word in pattern.split("."))
    return re.fullmatch(regex, f".{key}") is not None


class _Queues(dict[str, Queue]):
    """An app's queues. One that is missing is created for the answer only, if the app would create
    it."""

    def __init__(self, app: Any) -> None:
        queues = app.amqp.queues
        super().__init__(dict.items(queues))
        self.aliases = queues.aliases
        self._creates_missing = bool(app.conf.task_create_missing_queues)

    def __getitem__(self, name: str) -> Queue:
        alias: Queue | None = self.aliases.get(name)
        return super().__getitem__(name) if alias is None else alias

    def __missing__(self, name: str) -> Queue:
        if not self._creates_missing:
            raise KeyError(name)
        return Queue(name, Exchange(name), name)


class _Seen:
    """Whether a router has read arguments."""

    read = False


class _Arguments(tuple[Any, ...]):  # noqa: SLOT001  it needs an attribute
    """No positional arguments; reading them is recorded."""

    seen: _Seen

    def __getitem__(self, at: Any) -> Any:
        self.seen.read = True
        return super().__getitem__(at)

    def __iter__(self) -> Iterator[Any]:
        self.seen.read = True
        return super().__iter__()

    def __len__(self) -> int:
        self.seen.read = True
        return 0

    def __bool__(self) -> bool:
        self.seen.read = True
        return False


def _arguments(seen: _Seen) -> _Arguments:
    made = _Arguments()
    made.seen = seen
    return made


class _Keywords(dict[str, Any]):
    """No keyword arguments; reading them is recorded."""

    def __init__(self, seen: _Seen) -> None:
        super().__init__()
        self._seen = seen

    def __missing__(self, key: str) -> Any:
        self._seen.read = True
        raise KeyError(key)

    def get(self, _key: str, default: Any = None) -> Any:
        """Record the reading."""
        self._seen.read = True
        return default

    def __contains__(self, _key: object) -> bool:
        self._seen.read = True
        return False

    def __iter__(self) -> Iterator[str]:
        self._seen.read = True
        return iter(())

    def __bool__(self) -> bool:
        return True  # Celery's router replaces an empty mapping

    def items(self) -> Any:
        """Record the reading."""
        self._seen.read = True
        return super().items()
