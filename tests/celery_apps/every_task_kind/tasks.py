"""Celery tasks of every kind that users have. None of them imports the orchestrator.

`seen` records what a task sees of itself in a list in Redis, outside the product.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg2
import redis
from celery import Task, chord, group, shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from kombu.utils.json import register_type

_redis: Any = None


def seen(what: str, **facts: Any) -> None:
    """Append a record to the list."""
    global _redis
    if _redis is None or _redis[0] != os.getpid():
        # redis-py 8 gives up a read after 5 seconds by default; `waits` reads for longer.
        server = redis.Redis.from_url(os.environ["ZOO_REDIS_URL"], socket_timeout=None)
        _redis = (os.getpid(), server)
    _redis[1].rpush("zoo", json.dumps({"what": what, **facts}, default=str))


def times(name: str) -> int:
    """Return the number of calls with this name, including this one."""
    seen("times", name=name)
    return int(_redis[1].incr(f"zoo:{name}"))


def facts(task: Task) -> dict[str, Any]:
    """Return the main members of a running task's request."""
    request = task.request
    names = ("args", "kwargs", "retries", "is_eager", "called_directly", "callbacks", "chord")
    return {name: getattr(request, name) for name in names}


# -- forms ------------------------------------------------------------


@shared_task(name="zoo.plain")
def plain(a, b=2):
    return {"sum": a + b}


@shared_task(name="zoo.bound", bind=True)
def bound(self, a, *, word="x"):
    seen("bound", **facts(self))
    return {"a": a, "word": word, "task": self.name, "hostname": bool(self.request.hostname)}


@shared_task(name="zoo.positional")
def positional(a, b, /, c=3, *rest, **more):
    return {"a": a, "b": b, "c": c, "rest": list(rest), "more": more}


class Classy(Task):
    """A class-based task."""

    name = "zoo.classy"

    def __init__(self):
        self.made = os.getpid()

    def run(self, a):
        return {"a": a, "class": type(self).__name__, "is": isinstance(self, Classy)}


class Calling(Task):
    """A base class with its own __call__, which changes the result."""

    def __call__(self, *args, **kwargs):
        seen("call", args=args, kwargs=kwargs)
        return {"wrapped": super().__call__(*args, **kwargs)}


@shared_task(name="zoo.calling", base=Calling)
def calling(a):
    return a


class Hooked(Task):
    """A base class that uses every hook."""

    def before_start(self, task_id, args, kwargs):
        seen("before_start", args=args, kwargs=kwargs, id=task_id)
        if kwargs.get("refuse"):
            raise ValueError("refused before the start")

    def on_success(self, retval, task_id, args, kwargs):
        seen("on_success", retval=retval, args=args, kwargs=kwargs, id=task_id)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        seen("on_failure", exc=repr(exc), args=args, kwargs=kwargs, id=task_id)

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        seen("on_retry", exc=repr(exc), args=args, kwargs=kwargs, id=task_id)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        seen("after_return", status=status, args=args, kwargs=kwargs, id=task_id)


@shared_task(name="zoo.hooked", base=Hooked)
def hooked(a, fail=False, refuse=False):
    if fail:
        raise KeyError(a)
    return {"a": a}


# -- ways to end ------------------------------------------------------------


@shared_task(name="zoo.fails")
def fails(message="no"):
    raise ValueError(message)


@shared_task(name="zoo.throws", throws=(LookupError,))
def throws():
    raise LookupError("expected")


@shared_task(
    name="zoo.autoretry",
    bind=True,
    base=Hooked,
    autoretry_for=(ConnectionError,),
    retry_backoff=False,
    default_retry_delay=0,
    max_retries=3,
)
def autoretry(self, key, until=3):
    count = times(key)
    seen("autoretry", retries=self.request.retries, count=count)
    if count < until:
        raise ConnectionError(f"not yet: {count}")
    return {"count": count, "retries": self.request.retries}


@shared_task(name="zoo.retries", bind=True, max_retries=2)
def retries(self, key, until=2, countdown=0):
    count = times(key)
    if count < until:
        raise self.retry(countdown=countdown, exc=RuntimeError(f"attempt {count}"))
    return {"count": count, "retries": self.request.retries}


@shared_task(name="zoo.retries_with", bind=True, max_retries=5)
def retries_with(self, a):
    """Retry with another argument each time."""
    if a < 3:
        raise self.retry(args=[a + 1], countdown=0)
    return {"a": a, "args": list(self.request.args), "retries": self.request.retries}


@shared_task(name="zoo.retries_quietly", bind=True)
def retries_quietly(self, key):
    count = times(key)
    if count < 2:
        self.retry(countdown=0, throw=False)
        return {"not": "the result"}
    return {"count": count}


@shared_task(name="zoo.ignores")
def ignores():
    raise Ignore


@shared_task(name="zoo.rejects")
def rejects(key, requeue=False):
    if times(key) > 1:
        return {"second": True}
    raise Reject("not mine", requeue=requeue)


@shared_task(name="zoo.base_exception")
def base_exception():
    class Odd(BaseException):
        pass

    raise Odd("not even an Exception")


@shared_task(name="zoo.exits")
def exits(key, status=3, until=2):
    if times(key) < until:
        sys.exit(status)
    return {"survived": True}


@shared_task(name="zoo.dies")
def dies(key, until=2):
    if times(key) < until:
        os._exit(9)
    return {"survived": True}


@shared_task(name="zoo.out_of_memory")
def out_of_memory():
    raise MemoryError("too much")


@shared_task(name="zoo.replaces", bind=True)
def replaces(self, a, countdown=None):
    return self.replace(plain.s(a, b=40).set(countdown=countdown))


@shared_task(name="zoo.replaces_with_chain", bind=True)
def replaces_with_chain(self, a):
    return self.replace(number.s(a) | number.s(10))


@shared_task(name="zoo.replaces_with_group", bind=True)
def replaces_with_group(self, a):
    return self.replace(group(number.s(a), number.s(a + 1)))


@shared_task(name="zoo.number")
def number(a, b=1):
    return a + b


# -- settings ------------------------------------------------------------


@shared_task(name="zoo.late", bind=True, acks_late=True, reject_on_worker_lost=True)
def late(self, a, key=None):
    if key is not None:
        waits(key)
    return {"a": a}


@shared_task(name="zoo.limited_rate", rate_limit="20/s")
def limited_rate(a):
    return {"a": a}


@shared_task(name="zoo.sleeps")
def sleeps(seconds, key="sleeps", again=None):
    """Sleep for `seconds`; after a second start for `again` seconds."""
    count = times(key)
    seen("sleeping", count=count)
    time.sleep(seconds if again is None or count == 1 else again)
    return {"count": count}


@shared_task(name="zoo.waits")
def waits(key):
    """Run until the test lets it continue."""
    seen("waiting", key=key)
    _redis[1].blpop(f"zoo:{key}", 120)
    return key


@shared_task(name="zoo.stubborn", time_limit=1)
def stubborn(key):
    """Ignore SIGTERM and hang at the first start."""
    count = times(key)
    if count < 2:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    return {"count": count}


@shared_task(name="zoo.limited", time_limit=1)
def limited(seconds=0.0):
    time.sleep(seconds)
    return {"slept": seconds}


@shared_task(name="zoo.softly", soft_time_limit=1, time_limit=10)
def softly(seconds=0.0):
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        seen("soft limit")
        raise
    return {"slept": seconds}


@shared_task(name="zoo.keeps_result", bind=True, ignore_result=False, track_started=True)
def keeps_result(self, a):
    return {"a": a, "id": self.request.id}


# -- Celery inside a step ------------------------------------------------------------


@shared_task(name="zoo.delays", bind=True)
def delays(self, a):
    inner = note.delay(a)
    return {"inner": inner.id, "children": [child.id for child in self.request.children]}


@shared_task(name="zoo.chords", bind=True)
def chords(self, a):
    chord([number.s(a), number.s(a + 1)])(total.s())
    return {"sent": True}


@shared_task(name="zoo.total")
def total(numbers):
    seen("total", total=sum(numbers))
    return sum(numbers)


@shared_task(name="zoo.note", bind=True)
def note(self, a):
    delivery = self.request.delivery_info
    seen(
        "note",
        a=a,
        parent=self.request.parent_id,
        headers=self.request.headers,
        priority=delivery.get("priority"),
        queue=delivery.get("routing_key"),
    )
    return a


@shared_task(name="zoo.calls_another", bind=True)
def calls_another(self, a):
    return {"direct": plain(a), "eager": plain.apply((a,)).get(disable_sync_subtasks=False)}


# -- values ------------------------------------------------------------


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: Decimal


class Money:
    def __json__(self):
        return {"amount": Decimal("1.10")}


class Fraction(complex):
    """A type that is registered with Celery's JSON."""


register_type(
    Fraction,
    "fraction",
    lambda value: [value.real, value.imag],
    lambda parts: Fraction(*parts),
)

VALUES: dict[str, Any] = {
    "json method": Money(),
    "registered": Fraction(1, 2),
    "null": None,
    "big": 2**70,
    "float": 1.5,
    "text": "ü\u0000",
    "decimal": Decimal("1.10"),
    "date": date(2026, 1, 2),
    "datetime": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "uuid": UUID(int=7),
    "bytes": b"\x00\xff",
    "dataclass": Point(1, Decimal("2.50")),
    "enum": Colour.RED,
    "tuple": (1, (2,)),
    "object": object(),
    "nan": float("nan"),
    "delta": timedelta(seconds=1),
    "large": "x" * (2 << 20),
}


@shared_task(name="zoo.value")
def value(kind):
    return {"value": VALUES[kind]}


# -- in a pool of greenlets ------------------------------------------------------------


@shared_task(name="zoo.holds_the_hub")
def holds_the_hub(seconds, key):
    """Compute for a while: no other greenlet of the process runs."""
    count = times(key)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return {"count": count}


@shared_task(name="zoo.copies")
def copies(count):
    """Use COPY on a connection of its own, as users do."""
    connection = psycopg2.connect(os.environ["ORCHESTRATOR_DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        buffer = io.StringIO()
        cursor.copy_expert(f"copy (select generate_series(1, {count})) to stdout", buffer)
    connection.close()
    return {"lines": len(buffer.getvalue().splitlines())}
