"""``/v1/instances/{id}/why``: the cause of standing still, in words and in data."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response

from api import causes as told
from api.causes import Cause
from api.context import state
from api.instances import find
from api.resource import Resource, respond
from api.schemas.why import WhySchema
from orchestrator.broker import reach
from orchestrator.core.engine import KNOWN
from orchestrator.core.values import Status
from orchestrator.database import causes, steps
from orchestrator.database.instances import Whole
from orchestrator.errors import BrokerUnavailable

blueprint = Resource(
    "why", __name__, url_prefix="/v1/instances/<id:id>/why", description="Why nothing happens."
)

#: What only a broker can bring further: before any of these is told, it is asked.
_BY_BROKER = frozenset({"no-control", "inbox", "unpublished", "delivery"})


@blueprint.route("")
@blueprint.answers(200, WhySchema)
def why(id: str) -> Response:
    """Why the instance stands where it stands"""
    found = find(id)
    known = list(_causes(found))
    if any(cause["kind"] in _BY_BROKER for cause in known):
        known = [*_broker(), *known]
    return respond(
        {
            "status": found.status,
            "compensation": found.compensation,
            "causes": [*(known or [told.nothing(found)]), *_unknown(found)],
        }
    )


def _causes(found: Whole) -> Iterator[Cause]:
    database = state().services.database
    if not found.settled:
        yield from _of_the_whole(found)
    # A withdrawn attempt may outlive its instance's end.
    lease = state().services.settings.lease
    for call in causes.calls(database, found.id, lease):
        taken = call.state == "claimed" or call.free
        yield told.call(call, None if taken else causes.home(database, call.task, lease))
    if not found.settled:
        yield from _of_steps(found)
    for letter in causes.letters(database, found.id):
        yield told.dead_letter(letter)


def _unknown(found: Whole) -> Iterator[Cause]:
    """Work that stays done, or may have been, after the instance has come to its end."""
    if found.settled:
        for step in causes.unknown_outcomes(state().services.database, found.id):
            yield told.unknown_outcome(step)


def _of_the_whole(found: Whole) -> Iterator[Cause]:
    """What holds back the instance as such."""
    services = state().services
    database, settings = services.database, services.settings
    if (of := causes.engine(database, found.id)) not in KNOWN:
        yield told.unknown_engine(of)
    if found.status == Status.SUSPENDED:
        yield told.suspended(causes.last(database, found.id, "instance.suspend"))
    if found.compensation == "running":
        yield told.compensating(found.status, *causes.undone(database, found.id))
    inbox = causes.inbox(database, found.id, settings.lease, settings.control_queue)
    if inbox.waiting and found.status != Status.SUSPENDED:
        yield told.unbrought(inbox, settings.control_queue)


def _of_steps(found: Whole) -> Iterator[Cause]:
    """What each place waits for, but for workers, where something must still happen."""
    database = state().services.database
    for step, child, status in causes.children(database, found.id):
        yield told.child(step, child, status)
    overdue = causes.overdue(database, found.id)
    for waiting in steps.waiting(database, found.id):
        if waiting.kind == "timer" and (waiting.step or 0, waiting.timer) in overdue:
            yield told.late(waiting)
        elif waiting.kind == "timer" and waiting.timer == "retry":
            error = causes.last_error(database, found.id, waiting.step or 0)
            yield told.retry(waiting, error)
        elif waiting.kind == "timer":
            yield told.timer(waiting)
        elif waiting.kind == "event":
            yield from _event(found, told.event(waiting))


def _event(found: Whole, cause: Cause) -> Iterator[Cause]:
    """An event that has come is matched by a worker of the control queue."""
    services = state().services
    database, settings = services.database, services.settings
    inbox = causes.inbox(database, found.id, settings.lease, settings.control_queue)
    if not inbox.control and causes.unmatched(database, found.namespace):
        yield told.unmatched(settings.control_queue)
    yield cause


def _broker() -> Iterator[Cause]:
    settings = state().services.settings
    try:
        reach(settings.broker_url, settings.publish_timeout)
    except BrokerUnavailable as error:
        yield {"kind": "broker", "message": f"the broker {error}; nothing is lost meanwhile"}
