"""Messages that no program of ours sends: wrong types and sizes in every field of a task message.

Source of the fields: Celery's message protocol 2, kombu's virtual transports (the envelope), AMQP
0-9-1 (the properties).
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from amqp import Message

Envelope = dict[str, Any]

MISSING = object()
_DEEP = "deep"
#: For each field: values of other types than its own.
WRONG: tuple[Any, ...] = (MISSING, None, 3, "x", [], {"a": []}, _DEEP)
DEPTH = 3_000

HEADERS = (
    *("task", "id", "lang", "root_id", "parent_id", "group", "meth", "shadow", "eta", "expires"),
    *("retries", "timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result", "stamps"),
    *("stamped_headers", "replaced_task_nesting", "compression", "orchestrator"),
)
PROPERTIES = (
    *("correlation_id", "reply_to", "delivery_mode", "delivery_info", "priority"),
    *("body_encoding", "delivery_tag"),
)
MEMBERS = ("body", "content-type", "content-encoding", "headers", "properties")
BODIES = (
    *("", "x", "3", "null", "{}", "[]", "[1, 2]", "[1, 2, 3]", "[[], [], []]", "[{}, {}, {}]"),
    *('[[], {"1": 1}, {"callbacks": 3}]', "[[], {}, {}, {}]", "\0", "[[" * DEPTH, "9" * 5_000),
    '{"task": "chaos.effect", "args": 3, "kwargs": []}',
)


def envelope(task: str, arguments: list[Any] | None = None) -> Envelope:
    """A message as Celery sends it to Redis."""
    id = str(uuid.uuid4())
    body = json.dumps([arguments or [], {}, dict.fromkeys(("callbacks", "errbacks", "chain"))])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": id,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": id,
            "parent_id": None,
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "x",
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": id,
            "reply_to": "x",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


def _changed(message: Envelope, path: tuple[str, ...], value: Any) -> Envelope:
    changed = deepcopy(message)
    at = changed
    for name in path[:-1]:
        at = at[name]
    if value is MISSING:
        at.pop(path[-1], None)
    else:
        at[path[-1]] = value
    return changed


def _text(message: Envelope) -> str:
    """As JSON; a deep value can't be written by a library."""
    deep = "[" * DEPTH + "]" * DEPTH
    return json.dumps(message).replace(f'"{_DEEP}"', deep)


def envelopes(task: str, size: int) -> Iterator[tuple[str, str]]:
    """Each wrong envelope for Redis: its name and its text. `size`: bytes of the largest one."""
    base = envelope(task)
    for name in MEMBERS:
        yield from _wrong(base, (name,))
    for name in HEADERS:
        yield from _wrong(base, ("headers", name))
    for name in PROPERTIES:
        yield from _wrong(base, ("properties", name))
    for body in BODIES:
        encoded = base64.b64encode(body.encode()).decode()
        yield f"body of {body[:20]!r}", _text(_changed(base, ("body",), encoded))
    yield from _limits(base)
    yield from _texts(base)
    yield "a large body", _text(_changed(base, ("body",), "A" * size))


def amqp_messages(task: str, size: int) -> Iterator[tuple[str, Message]]:
    """Each wrong message that AMQP can carry, for RabbitMQ: its name and the message."""
    base = envelope(task)
    for name in HEADERS:
        for value in (each for each in WRONG if each != _DEEP):
            shown = "missing" if value is MISSING else repr(value)
            yield f"{name} {shown}", _amqp(_changed(base, ("headers", name), value))
    for body in BODIES:
        yield f"body of {body[:20]!r}", _amqp(base, body.encode())
    for name, value in (("content_type", "x"), ("content_type", ""), ("content_encoding", "x")):
        yield f"{name} {value!r}", _amqp(base, None, **{name: value})
    for type in ("application/x-python-serialize", "application/x-yaml", "text/plain"):
        yield type, _amqp(base, b"\x80\x04.", content_type=type)
    for limits in ([3], ["a", "b"], [-1, -1], [True, "1"]):
        yield f"timelimit {limits}", _amqp(_changed(base, ("headers", "timelimit"), limits))
    yield "no headers", _amqp({**base, "headers": {}}, b"")
    yield "a large body", _amqp(base, b"A" * size)


def _amqp(message: Envelope, body: bytes | None = None, **properties: Any) -> Message:
    known = {"content_type": "application/json", "content_encoding": "utf-8", **properties}
    sent = base64.b64decode(message["body"]) if body is None else body
    return Message(sent, application_headers=message["headers"], **known)


def _wrong(base: Envelope, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for value in WRONG:
        shown = "missing" if value is MISSING else repr(value)
        yield f"{'.'.join(path)} {shown}", _text(_changed(base, path, value))


def _limits(base: Envelope) -> Iterator[tuple[str, str]]:
    value: Any
    for value in ([3], [1, 2, 3], ["a", "b"], [{}, []], [-1, -1], [1e308, 1e308], [True, "1"]):
        yield f"timelimit {value}", _text(_changed(base, ("headers", "timelimit"), value))
    for name in ("eta", "expires"):
        for value in ("9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00", 1e300, -1e300, True):
            yield f"{name} {value}", _text(_changed(base, ("headers", name), value))
    yield "id of 1 MB", _text(_changed(base, ("headers", "id"), "x" * 1_000_000))
    yield "task of 1 MB", _text(_changed(base, ("headers", "task"), "x" * 1_000_000))


def _texts(base: Envelope) -> Iterator[tuple[str, str]]:
    for text in ("", "[]", "{}", "null", "\0", '"x"', "3", '{"properties": 1}', "NaN", '{"a":'):
        yield f"text {text!r}", text
    yield "deep text", '{"a":' * 100_000
    yield "a list of lists", "[" * 100_000
    yield "a long number", "9" * 100_000
