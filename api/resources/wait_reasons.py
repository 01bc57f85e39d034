"""``/v1/instances/{id}/why``: the cause of standing still, in words and in data."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response

from api.http.app_state import state
from api.http.resource_blueprint import Resource, respond
from api.resources import wait_reason_messages as told
from api.resources.instances import find
from api.resources.wait_reason_messages import Cause
from api.schemas.wait_reasons import WhySchema
from orchestrator.broker_settings import reach
from orchestrator.core.engine_version import SUPPORTED
from orchestrator.core.model import Status
from orchestrator.database.instances import step_queries, wait_reason_queries
from orchestrator.database.instances.instance_queries import InstanceWithPayloads
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
            "causes": [*(known or [told.unknown_reason(found)]), *_unknown(found)],
        }
    )


def _causes(found: InstanceWithPayloads) -> Iterator[Cause]:
    database = state().services.database
    if not found.is_final:
        yield from _of_the_whole(found)
    # A withdrawn attempt may outlive its instance's end.
    lease = state().services.settings.lease
    for call in wait_reason_queries.calls(database, found.id, lease):
        taken = call.state == "claimed" or call.free
        yield told.call(
            call, None if taken else wait_reason_queries.home(database, call.task, lease)
        )
    if not found.is_final:
        yield from _of_steps(found)
    for letter in wait_reason_queries.dead_letters(database, found.id):
        yield told.dead_letter(letter)


def _unknown(found: InstanceWithPayloads) -> Iterator[Cause]:
    """Work that stays done, or may have been, after the instance has come to its end."""
    if found.is_final:
        for step in wait_reason_queries.unknown_outcomes(state().services.database, found.id):
            yield told.unknown_outcome(step)


def _of_the_whole(found: InstanceWithPayloads) -> Iterator[Cause]:
    """What holds back the instance as such."""
    services = state().services
    database, settings = services.database, services.settings
    if (of := wait_reason_queries.engine(database, found.id)) not in SUPPORTED:
        yield told.unknown_engine(of)
    if found.status == Status.SUSPENDED:
        yield told.suspended(
            wait_reason_queries.last_command(database, found.id, "instance.suspend")
        )
    if found.compensation == "running":
        yield told.compensating(
            found.status, *wait_reason_queries.compensation_progress(database, found.id)
        )
    inbox = wait_reason_queries.inbox(database, found.id, settings.lease, settings.control_queue)
    if inbox.waiting and found.status != Status.SUSPENDED:
        yield told.pending_stimuli(inbox, settings.control_queue)


def _of_steps(found: InstanceWithPayloads) -> Iterator[Cause]:
    """What each place waits for, but for workers, where something must still happen."""
    database = state().services.database
    for step, child, status in wait_reason_queries.children(database, found.id):
        yield told.child(step, child, status)
    overdue = wait_reason_queries.overdue(database, found.id)
    for waiting in step_queries.waiting(database, found.id):
        if waiting.kind == "timer" and (waiting.step or 0, waiting.timer) in overdue:
            yield told.late(waiting)
        elif waiting.kind == "timer" and waiting.timer == "retry":
            error = wait_reason_queries.last_error(database, found.id, waiting.step or 0)
            yield told.retry(waiting, error)
        elif waiting.kind == "timer":
            yield told.timer(waiting)
        elif waiting.kind == "event":
            yield from _event(found, told.event(waiting))


def _event(found: InstanceWithPayloads, cause: Cause) -> Iterator[Cause]:
    """An event that has come is matched by a worker of the control queue."""
    services = state().services
    database, settings = services.database, services.settings
    inbox = wait_reason_queries.inbox(database, found.id, settings.lease, settings.control_queue)
    if not inbox.control and wait_reason_queries.unmatched(database, found.namespace):
        yield told.unmatched(settings.control_queue)
    yield cause


def _broker() -> Iterator[Cause]:
    settings = state().services.settings
    try:
        reach(settings.broker_url, settings.publish_timeout)
    except BrokerUnavailable as error:
        yield {"kind": "broker", "message": f"the broker {error}; nothing is lost meanwhile"}
