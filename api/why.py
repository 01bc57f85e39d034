"""``/v1/instances/{id}/why``: the cause of standing still, in words and in data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response

from api.context import state
from api.instances import find
from api.resource import Resource, respond
from api.schemas.why import WhySchema
from orchestrator.core.values import Status
from orchestrator.database import causes, steps
from orchestrator.database.causes import Call
from orchestrator.database.instances import Whole
from orchestrator.database.steps import Waiting

blueprint = Resource(
    "why", __name__, url_prefix="/v1/instances/<id:id>/why", description="Why nothing happens."
)

Cause = dict[str, Any]


@blueprint.route("")
@blueprint.answers(200, WhySchema)
def why(id: str) -> Response:
    """Why the instance stands where it stands"""
    found = find(id)
    told = [] if found.settled else list(_causes(found))
    return respond(
        {
            "status": found.status,
            "compensation": found.compensation,
            "causes": told or [_nothing(found)],
        }
    )


def _causes(found: Whole) -> Iterator[Cause]:
    services = state().services
    database, settings = services.database, services.settings
    if found.status == Status.SUSPENDED:
        yield _suspended(found)
    inbox = causes.inbox(database, found.id, settings.lease, settings.control_queue)
    if inbox.waiting and found.status != Status.SUSPENDED:
        yield _unbrought(inbox, settings.control_queue)
    for call in causes.calls(database, found.id, settings.lease):
        yield _of_call(call)
    for step, child, status in causes.children(database, found.id):
        message = f"waits for the sub-workflow {child}, which is {status}"
        yield {"kind": "workflow", "message": message, "step": step, "instance": child}
    for waiting in steps.waiting(database, found.id):
        if waiting.kind in _WAITING:
            yield _WAITING[waiting.kind](waiting)


def _nothing(found: Whole) -> Cause:
    if found.settled:
        return {"kind": "ended", "message": f"the instance is {found.status}"}
    return {"kind": "moving", "message": "nothing is awaited: a transition is under way"}


def _suspended(found: Whole) -> Cause:
    who = causes.last(state().services.database, found.id, "instance.suspend")
    if who is None:
        return {"kind": "suspended", "message": "the instance is suspended"}
    actor, at, reason = who
    told = f"suspended by {actor}" + (f": {reason}" if reason else "")
    return {"kind": "suspended", "message": told, "since": at}


def _unbrought(inbox: causes.Inbox, queue: str) -> Cause:
    what = f"{inbox.waiting} notes wait to be brought"
    if not inbox.control:
        told = f"{what}, and no live worker serves the queue {queue}"
        return {"kind": "no-control", "message": told, "since": inbox.since, "queue": queue}
    return {"kind": "inbox", "message": what, "since": inbox.since, "queue": queue}


def _of_call(call: Call) -> Cause:
    kind, message = _taken(call) if call.state == "claimed" else _untaken(call)
    told: Cause = {
        "kind": kind,
        "message": message,
        "step": call.step,
        "reference": call.reference,
        "queue": call.queue,
        "since": call.claimed_at or call.published_at or call.created_at,
    }
    if call.worker:
        told["worker"] = call.worker
    return told


def _taken(call: Call) -> tuple[str, str]:
    if call.silent:
        told = f"the worker {call.worker} that runs {call.task} is silent: it will count as lost"
        return "silent-worker", told
    told = f"{call.task} runs on {call.worker}"
    return ("withdrawn", f"{told}, withdrawn: its end is awaited") if call.withdrawn else (
        "running", told
    )  # fmt: skip


def _untaken(call: Call) -> tuple[str, str]:
    if not call.serving:
        return "no-worker", f"no live worker serves the queue {call.queue}"
    if not call.able:
        need = " and can enforce its time limit" if call.limited else ""
        return "no-task", f"no live worker of the queue {call.queue} knows {call.task}{need}"
    if not call.free:
        return "no-slot", f"every slot of the {call.able} workers of {call.queue} is taken"
    if call.published_at is None:
        return "unpublished", f"{call.task} is not yet at the broker"
    return "delivery", f"{call.task} was sent to the queue {call.queue} and not yet taken"


def _of_timer(waiting: Waiting) -> Cause:
    told: Cause = {
        "kind": "timer",
        "message": f"waits until {waiting.due_at:%Y-%m-%d %H:%M:%S} UTC ({waiting.timer})",
        "until": waiting.due_at,
        "since": waiting.since,
    }
    if waiting.step is not None:
        told |= {"step": waiting.step, "reference": waiting.reference}
    return told


def _of_event(waiting: Waiting) -> Cause:
    return {
        "kind": "event",
        "message": f"listens for events ({waiting.mode})",
        "step": waiting.step,
        "reference": waiting.reference,
        "since": waiting.since,
    }


_WAITING = {"timer": _of_timer, "event": _of_event}
