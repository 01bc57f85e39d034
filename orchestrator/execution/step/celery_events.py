"""Sends Celery's worker events (``-E``) for steps that run without a message.

For other steps the worker's main process sends them; it does not see these steps."""

from __future__ import annotations

from typing import Any

from celery import states
from kombu.utils.encoding import safe_repr

from orchestrator.log import get_logger

log = get_logger(__name__)


def send_started(task: Any, request: dict[str, Any]) -> None:
    """Send the events of a task that begins: received, then started."""
    received = {
        "name": task.name,
        "args": request["argsrepr"],
        "kwargs": request["kwargsrepr"],
        "root_id": request["root_id"],
        "parent_id": request["parent_id"],
        "retries": request["retries"],
        "eta": None,
        "expires": None,
    }
    _send(task, request, [("task-received", received), ("task-started", {})])


def send_ended(task: Any, request: dict[str, Any], result: Any) -> None:
    """Send the event of a task's end. `result`: the result of Celery's tracer."""
    retval, info, runtime, retval_repr = result
    if info is None:
        event = ("task-succeeded", {"result": retval_repr, "runtime": runtime})
    elif info.state in {states.FAILURE, states.RETRY}:
        kind = "task-failed" if info.state == states.FAILURE else "task-retried"
        traceback = str(getattr(retval, "traceback", "") or "")
        event = (kind, {"exception": safe_repr(info.retval), "traceback": traceback})
    else:
        return
    _send(task, request, [event])


def _send(task: Any, request: dict[str, Any], events: list[tuple[str, dict[str, Any]]]) -> None:
    if not task.send_events:
        return
    try:
        with task.app.events.default_dispatcher(hostname=request["hostname"]) as dispatcher:
            for kind, fields in events:
                dispatcher.send(kind, uuid=request["id"], retry=False, **fields)
    except Exception as error:  # noqa: BLE001  each broker has its own errors; events are for display
        log.debug("An event was not sent", action="event_unsent", error=repr(error))
