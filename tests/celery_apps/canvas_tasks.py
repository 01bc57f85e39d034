"""Tasks of the tests' canvases. What they note goes to the list `canvas:TAG` in the broker."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha1
from typing import Any
from uuid import UUID

import redis
from celery import Task, chain, chord, group, shared_task
from celery.exceptions import Ignore, Reject


class Declined(Exception):
    """An exception of the user's own, with arguments of its own."""

    def __init__(self, amount: Any, reason: str = "empty") -> None:
        super().__init__(amount, reason)
        self.amount = amount
        self.reason = reason


class Unbuildable(Exception):
    """An exception that can't be built from its arguments again."""

    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code


def notes() -> redis.Redis:
    """The server that keeps the notes."""
    return redis.Redis.from_url(os.environ["ORCHESTRATOR_BROKER_URL"])


@shared_task(name="canvas.add")
def add(x: Any, y: Any) -> Any:
    return x + y


@shared_task(name="canvas.mul")
def mul(x: Any, y: Any) -> Any:
    return x * y


@shared_task(name="canvas.total")
def total(numbers: list[Any]) -> Any:
    return sum(numbers)


@shared_task(name="canvas.show")
def show(*args: Any, **kwargs: Any) -> Any:
    return {"args": list(args), "kwargs": kwargs}


@shared_task(name="canvas.same")
def same(value: Any) -> Any:
    return value


@shared_task(name="canvas.nothing")
def nothing(*_: Any, **__: Any) -> None:
    return None


@shared_task(name="canvas.note")
def note(tag: str, what: Any, *args: Any) -> Any:
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(what))
    return args[0] if args else what


@shared_task(name="canvas.seen")
def seen(value: Any, tag: str, what: Any) -> Any:
    """A note in the middle of a chain: its value goes on."""
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(what))
    return value


@shared_task(name="canvas.fold")
def fold(*args: Any, label: str, tag: str) -> str:
    """A value that depends on every argument, in a few characters."""
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(label))
    return f"{label}:{sha1(json.dumps(args).encode(), usedforsecurity=False).hexdigest()[:8]}"


@shared_task(name="canvas.break")
def break_(*args: Any, label: str, tag: str) -> str:
    """A `fold` that fails."""
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(label))
    raise Declined(label, sha1(json.dumps(args).encode(), usedforsecurity=False).hexdigest()[:8])


@shared_task(name="canvas.fail")
def fail(*args: Any, **_: Any) -> Any:
    raise ValueError("failed", *[value for value in args if isinstance(value, str)])


@shared_task(name="canvas.decline")
def decline(*_: Any, amount: Any = Decimal("1.10")) -> Any:
    raise Declined(amount, "empty")


@shared_task(name="canvas.unbuildable")
def unbuildable(*_: Any) -> Any:
    raise Unbuildable(code=7)


@shared_task(name="canvas.ignore")
def ignore(*_: Any) -> Any:
    raise Ignore


@shared_task(name="canvas.reject")
def reject(*_: Any) -> Any:
    raise Reject("no", requeue=False)


@shared_task(name="canvas.stop", bind=True)
def stop(self: Task, value: Any) -> Any:
    self.request.chain = None
    return value


@shared_task(name="canvas.wait")
def wait(key: str, value: Any = None) -> Any:
    """Wait until the test lets it go."""
    with notes() as server:
        server.rpush(f"waiting:{key}", "1")
        server.blpop([f"go:{key}"], timeout=60)
    return value


@shared_task(name="canvas.gate")
def gate(value: Any, key: str) -> Any:
    """The same in the middle of a chain."""
    with notes() as server:
        server.rpush(f"waiting:{key}", "1")
        server.blpop([f"go:{key}"], timeout=60)
    return value


@shared_task(name="canvas.tries", bind=True, max_retries=3)
def tries(self: Task, value: Any) -> Any:
    if self.request.retries < 2:
        raise self.retry(countdown=0.01)
    return [value, self.request.retries]


@shared_task(name="canvas.gives_up", bind=True, max_retries=1)
def gives_up(self: Task, value: Any) -> Any:
    raise self.retry(exc=Declined(value, "again"), countdown=0.01)


@shared_task(name="canvas.other_arguments", bind=True, max_retries=2)
def other_arguments(self: Task, value: Any) -> Any:
    if self.request.retries < 1:
        raise self.retry(args=(value * 2,), countdown=0.01)
    return value


@shared_task(name="canvas.typed")
def typed() -> Any:
    return {
        "decimal": Decimal("1.10"),
        "moment": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "naive": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001  Celery passes them too
        "day": date(2026, 1, 2),
        "time": time(3, 4, 5),
        "id": UUID("12345678-1234-5678-1234-567812345678"),
        "bytes": b"\x00\xff",
        "tuple": (1, (2, 3)),
    }


@shared_task(name="canvas.kinds")
def kinds(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: type(value).__name__ for name, value in values.items()}
    return type(values).__name__


@shared_task(name="canvas.tomorrow")
def tomorrow(day: date) -> Any:
    return day + timedelta(days=1)


@shared_task(name="canvas.count")
def count(n: int) -> Any:
    return list(range(n))


@shared_task(name="canvas.size")
def size(values: Any) -> Any:
    return len(values)


@shared_task(name="canvas.not_a_number")
def not_a_number(*_: Any) -> Any:
    return float("nan")


@shared_task(name="canvas.silent", ignore_result=True)
def silent(value: Any) -> Any:
    return value + 1


@shared_task(name="canvas.linked")
def linked(value: Any, tag: str, what: Any = None) -> Any:
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(["linked", value, what]))
    return value


@shared_task(name="canvas.on_id")
def on_id(id: str, tag: str = "-", what: Any = None) -> Any:
    """An error callback that takes an id."""
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(["on_id", type(id).__name__, what]))


@shared_task(name="canvas.on_error")
def on_error(request: Any, exc: Any, traceback: Any, tag: str = "-", what: Any = None) -> Any:
    """An error callback that takes the request and the exception."""
    with notes() as server:
        seen = [type(exc).__name__, str(exc), request.task, list(request.args or ()), what]
        server.rpush(f"canvas:{tag}", json.dumps(seen))


@shared_task(name="canvas.undo")
def undo(tag: str, what: Any, **more: Any) -> Any:
    with notes() as server:
        server.rpush(f"canvas:{tag}", json.dumps(["undone", what, more]))


@shared_task(name="canvas.replaced_by_task", bind=True)
def replaced_by_task(self: Task, value: Any) -> Any:
    return self.replace(add.s(value, 100))


@shared_task(name="canvas.replaced_by_chain", bind=True)
def replaced_by_chain(self: Task, value: Any) -> Any:
    return self.replace(chain(add.s(value, 1), mul.s(10)))


@shared_task(name="canvas.replaced_by_group", bind=True)
def replaced_by_group(self: Task, value: Any) -> Any:
    return self.replace(group(add.s(value, n) for n in range(3)))


@shared_task(name="canvas.replaced_by_chord", bind=True)
def replaced_by_chord(self: Task, value: Any) -> Any:
    return self.replace(chord([add.s(value, n) for n in range(3)], total.s()))


@shared_task(name="canvas.replaced_by_failure", bind=True)
def replaced_by_failure(self: Task, value: Any) -> Any:
    return self.replace(chain(add.s(value, 1), decline.s()))


@shared_task(name="canvas.replaced_by_gates", bind=True)
def replaced_by_gates(self: Task, keys: list[str]) -> Any:
    return self.replace(group(wait.s(key, n) for n, key in enumerate(keys)))
