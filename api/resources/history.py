"""``/v1/instances/{id}/history``: the transitions, as pages or as a live stream."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request, stream_with_context

from api.http import page_cursors, problem_types
from api.http.app_state import AppState, caller, key_check, state
from api.http.problems import Problem
from api.http.resource_blueprint import Resource, dumped, listing, wants
from api.resources import serializers
from api.resources.instances import find
from api.schemas.history import HistoryQuerySchema, HistorySchema
from orchestrator import clock
from orchestrator.database.instances import history_queries
from orchestrator.database.instances.instance_queries import InstanceWithPayloads

EVENT_STREAM = "text/event-stream"
#: Seconds after which a silent stream sends a comment, so that proxies keep it open.
HEARTBEAT = 15.0
#: Seconds after which a stream ends; the client reconnects and continues after the last event.
LONGEST = 600.0
#: Transitions read at once for a stream.
_PAGE = 200

blueprint = Resource(
    "history",
    __name__,
    url_prefix="/v1/instances/<id:id>/history",
    description="The transitions of an instance.",
)


@blueprint.route("")
@blueprint.answers(200, HistorySchema)
@blueprint.answers(200, {"type": "string"}, media_type=EVENT_STREAM)
@blueprint.requires(HistoryQuerySchema)
def list_(query: dict[str, Any], id: str) -> Response:
    """Transitions in their order

    With `Accept: text/event-stream` they are sent as they are committed: server-sent events
    whose id is the transition's sequence. `Last-Event-ID` continues a stream. The stream ends
    with the instance.
    """
    found = find(id)
    if wants(EVENT_STREAM):
        return _stream(found)
    page = history_queries.listed(
        state().services.database,
        found.id,
        descending=query["sort"].startswith("-"),
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.number,)),
    )
    return listing(
        [serializers.transition_json(row) for row in page.rows], page_cursors.write(page.last)
    )


def _stream(found: InstanceWithPayloads) -> Response:
    last = request.headers.get("Last-Event-ID", "0")
    if not re.fullmatch(r"[0-9]{1,9}", last):
        raise Problem(problem_types.MALFORMED, "Last-Event-ID must be the sequence of a transition")
    app, owner = state(), caller().owner
    open_stream(app, owner)
    stream = _events(app, found.id, int(last), key_check())
    response = Response(stream_with_context(in_own_thread(app, stream)), content_type=EVENT_STREAM)
    response.call_on_close(lambda: app.waiters.close_stream(owner))
    return response


def open_stream(app: AppState, owner: str) -> None:
    """Take a place for a stream. Raises `Problem` 429 where none is free for this owner's keys."""
    if not app.waiters.open_stream(owner):
        raise Problem(problem_types.TOO_MANY, "too many streams are open; try again")


def in_own_thread(app: AppState, events: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the events of a stream while its thread slot is free for other requests."""
    with app.waiters.lend():
        yield from events


def _events(app: AppState, id: str, last: int, is_valid: Callable[[], bool]) -> Iterator[bytes]:
    """Yield every transition after `last`, until the instance is final, the time is over, or the
    caller's key is no longer valid."""
    until = clock.monotonic() + LONGEST
    yield b": here\n\n"
    while (found := history_queries.follow(app.services.database, id, last, _PAGE)) is not None:
        for row in found.rows:
            last = row[0]
            yield b"id: %d\ndata: %b\n\n" % (last, dumped(serializers.transition_json(row)))
        if found.is_final and last >= found.sequence:
            return
        if app.waiters.closed or clock.monotonic() >= until or not is_valid():
            return
        if last >= found.sequence:
            app.waiters.wait_for_transition(id, last, HEARTBEAT, is_valid)
            yield b":\n\n"
