"""Options of signatures: which ones become part of a call, which have no effect, which are refused.

| option | in a durable canvas |
|---|---|
| `queue`, `priority` | those of the step |
| `countdown`, `eta` | a `wait` before the step |
| `expires` | `metadata.expires` |
| `time_limit` | `metadata.timeLimit` |
| `link`, `link_error`, `compensate` | see `signatures`, `errbacks`, `compensations` |
| `retry`, `retry_policy`, `ignore_result`, `compression` ... | concern messages: no effect |
| `soft_time_limit`, a `serializer` other than JSON | refused |
| `headers`, `exchange`, `routing_key`, stamps | refused |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.canvas.errors import CanvasRefused
from orchestrator.canvas.shapes import Call, Moment

#: What Celery itself sets while it prepares a canvas.
_INTERNAL = frozenset(
    {
        "chain",
        "chord",
        "group_id",
        "group_index",
        "parent_id",
        "reply_to",
        "root_id",
        "task_id",
        "replaced_task_nesting",
    }
)

#: Options that concern only messages or the result store.
_WITHOUT_EFFECT = frozenset(
    {
        "add_to_parent",
        "compression",
        "connection",
        "delivery_mode",
        "ignore_result",
        "immediate",
        "interval",
        "mandatory",
        "max_retries",
        "producer",
        "publisher",
        "retry",
        "retry_policy",
        "route_name",
        "shadow",
        "task_name",
    }
)

_READ_ELSEWHERE = frozenset({"link", "link_error", "compensate"})

_REASONS = {
    "exchange": "steps travel in the orchestrator's own queues; use `queue`",
    "routing_key": "steps travel in the orchestrator's own queues; use `queue`",
    "headers": "steps have no headers of their own; pass the value as an argument",
    "stamped_headers": "stamps have no durable form; pass the value as an argument",
    "stamps": "stamps have no durable form; pass the value as an argument",
    "soft_time_limit": "set it where the task is defined: @app.task(soft_time_limit=...)",
}

#: Names of serializers whose values a durable canvas can pass.
_JSON = frozenset({"json", "application/json"})


def passed_on(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a chain, group or chord that Celery passes on to its tasks."""
    return {
        name: value
        for name, value in options.items()
        if name not in _INTERNAL and name not in _READ_ELSEWHERE
    }


def of_task(signature: Any) -> dict[str, Any]:
    """Return the options that the task's class sets; empty if the task is not registered here."""
    try:
        task = signature.type
    except Exception:  # noqa: BLE001  celery's NotRegistered; or a broken lazy registration
        return {}
    names = ("queue", "priority", "expires", "serializer")
    found = {name: getattr(task, name, None) for name in names}
    if found["serializer"] == task.app.conf.task_serializer and found["serializer"] in _JSON:
        del found["serializer"]
    return {name: value for name, value in found.items() if value is not None}


def apply(call: Call, options: Mapping[str, Any]) -> Call:
    """Return the call with these options. Raises `CanvasRefused` for one without a durable form."""
    for name, value in options.items():
        _check(call.task, name, value)
    return replace(
        call,
        queue=_queue(call.task, options.get("queue")),
        priority=options.get("priority"),
        time_limit=options.get("time_limit"),
        delay=_moment(options.get("eta"), options.get("countdown")),
        expires=_moment(options.get("expires")),
    )


def _check(task: str, name: str, value: Any) -> None:
    if value is None or name in _KNOWN:
        return
    if name in _REASONS:
        if value or name not in ("headers", "stamped_headers", "stamps"):
            raise CanvasRefused(f"{task}: the option `{name}` is refused: {_REASONS[name]}")
    elif name == "serializer":
        if value not in _JSON:
            reason = "steps pass values as JSON, with Celery's own type tags"
            raise CanvasRefused(f"{task}: the serializer {value!r} is refused: {reason}")
    else:
        raise CanvasRefused(f"{task}: the option `{name}` has no durable form")


_KNOWN = (
    _INTERNAL
    | _WITHOUT_EFFECT
    | _READ_ELSEWHERE
    | {"queue", "priority", "time_limit", "countdown", "eta", "expires"}
)


def _queue(task: str, queue: Any) -> str | None:
    name = getattr(queue, "name", queue)
    if name is not None and not isinstance(name, str):
        raise CanvasRefused(f"{task}: the queue {queue!r} has no name")
    return name


def _moment(*values: Any) -> Moment | None:
    for value in values:
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return Moment(epoch=aware.timestamp())
        if value is not None:
            return Moment(seconds=max(0.0, float(value)))
    return None
