"""``/v1/instances/{id}/why``: the causes of an instance's waiting, in words and in data."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response

from api.http.app_state import state
from api.http.resource_blueprint import Resource, respond
from api.resources import call_wait_reasons, cause_tones
from api.resources import wait_reason_messages as messages
from api.resources.instances import find
from api.resources.wait_reason_messages import Cause
from api.schemas.wait_reasons import WhySchema
from orchestrator import clock
from orchestrator.broker_settings import reach
from orchestrator.core.engine_version import SUPPORTED
from orchestrator.core.model import Status
from orchestrator.database.instances import call_wait_queries, step_queries, wait_reason_queries
from orchestrator.database.instances.instance_queries import InstanceWithPayloads
from orchestrator.errors import BrokerUnavailable
from orchestrator.task_dispatcher import PUBLISH_TIMEOUT

blueprint = Resource(
    "why", __name__, url_prefix="/v1/instances/<id:id>/why", description="Why an instance waits."
)

#: Causes that end only through the broker: if one is found, the broker is checked too.
_BY_BROKER = frozenset({"no-control", "inbox", "unpublished", "delivery"})


@blueprint.route("")
@blueprint.answers(200, WhySchema)
def why(id: str) -> Response:
    """Why the instance waits"""
    found = find(id)
    causes = list(_causes(found))
    if any(cause["kind"] in _BY_BROKER for cause in causes):
        causes = [*_broker(), *causes]
    causes = [
        *(causes or [messages.unknown_reason(found)]),
        *_unknown_outcomes(found),
        *_repaired_children(found),
    ]
    return respond(
        {
            "status": found.status,
            "compensation": found.compensation,
            "causes": [{**cause, "tone": _tone(found, cause)} for cause in causes],
        }
    )


def _tone(found: InstanceWithPayloads, cause: Cause) -> str:
    if cause["kind"] == "ended":
        return cause_tones.tone_of_end(found.status, found.compensation)
    return cause_tones.tone(cause["kind"], cause.get("since"), clock.now())


def _causes(found: InstanceWithPayloads) -> Iterator[Cause]:
    database = state().services.database
    if not found.is_final:
        yield from _of_instance(found)
    # Look for open calls also if the instance has ended: a withdrawn attempt that already runs may
    # go on after the end.
    lease = state().services.settings.lease
    for call in call_wait_queries.calls(database, found.id, lease):
        if call.state == "claimed" or call.free:
            yield call_wait_reasons.call(call)
        else:
            home = call_wait_queries.home(database, call.task, lease)
            yield call_wait_reasons.call(call, home)
    if not found.is_final:
        yield from _of_steps(found)
    for dead_letter in wait_reason_queries.dead_letters(database, found.id):
        yield messages.dead_letter(dead_letter)


def _unknown_outcomes(found: InstanceWithPayloads) -> Iterator[Cause]:
    """Yield the steps of a final instance whose outcome is unknown."""
    if found.is_final:
        for step in wait_reason_queries.unknown_outcomes(state().services.database, found.id):
            yield messages.unknown_outcome(step)


def _repaired_children(found: InstanceWithPayloads) -> Iterator[Cause]:
    """Yield the faulted steps of an instance, which can be retried, whose sub-workflow has
    completed since."""
    retryable = found.status in (Status.FAULTED, Status.CANCELLED) and found.compensation == "none"
    if found.is_final and retryable:
        for child in wait_reason_queries.repaired_children(state().services.database, found.id):
            yield messages.repaired_child(*child)


def _of_instance(found: InstanceWithPayloads) -> Iterator[Cause]:
    """Yield the causes that concern the instance as a whole."""
    services = state().services
    database, settings = services.database, services.settings
    if (engine := wait_reason_queries.engine(database, found.id)) not in SUPPORTED:
        yield messages.unknown_engine(engine)
    if found.status == Status.SUSPENDED:
        yield messages.suspended(
            wait_reason_queries.last_command(database, found.id, "instance.suspend")
        )
    if found.compensation == "running":
        yield messages.compensating(
            found.status, *wait_reason_queries.compensation_progress(database, found.id)
        )
    inbox = wait_reason_queries.inbox(database, found.id, settings.lease, settings.control_queue)
    if inbox.waiting and found.status != Status.SUSPENDED:
        yield messages.pending_stimuli(inbox, settings.control_queue, workers=_has_workers())


def _of_steps(found: InstanceWithPayloads) -> Iterator[Cause]:
    """Yield what each open step waits for, except for its calls."""
    database = state().services.database
    for step, child, status in wait_reason_queries.children(database, found.id):
        yield messages.child(step, child, status)
    overdue = wait_reason_queries.overdue(database, found.id)
    came = wait_reason_queries.pending_events(database, found.id)
    for waiting in step_queries.waiting(database, found.id):
        if waiting.kind == "timer" and (waiting.step or 0, waiting.timer) in overdue:
            yield messages.overdue(waiting)
        elif waiting.kind == "timer" and waiting.timer == "retry":
            error = wait_reason_queries.last_error(database, found.id, waiting.step or 0)
            yield messages.retry(waiting, error)
        elif waiting.kind == "timer":
            yield messages.timer(waiting)
        elif waiting.kind == "event" and waiting.step in came:
            yield messages.event_came(waiting, suspended=found.status == Status.SUSPENDED)
        elif waiting.kind == "event":
            yield from _event(found, messages.event(waiting))


def _event(found: InstanceWithPayloads, cause: Cause) -> Iterator[Cause]:
    """Yield the cause of a listener, and before it a missing control worker that matches events."""
    services = state().services
    database, settings = services.database, services.settings
    inbox = wait_reason_queries.inbox(database, found.id, settings.lease, settings.control_queue)
    if not inbox.control and wait_reason_queries.unmatched(database, found.namespace):
        subject, queue = "events wait to be matched", settings.control_queue
        yield messages.no_control(subject, queue, workers=_has_workers())
    yield cause


def _has_workers() -> bool:
    services = state().services
    return wait_reason_queries.is_any_worker_alive(services.database, services.settings.lease)


def _broker() -> Iterator[Cause]:
    settings = state().services.settings
    try:
        reach(settings.broker_url, PUBLISH_TIMEOUT)
    except BrokerUnavailable as error:
        yield {"kind": "broker", "message": f"the broker {error}; nothing is lost meanwhile"}
