"""``/v1/instances/{id}/history``: what happened, as pages or as a live stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request, stream_with_context

from api import cursors, kinds, shown
from api.context import State, state
from api.instances import find
from api.problems import Problem
from api.resource import Resource, dumped, listing, wants
from api.schemas.history import HistoryQuerySchema, HistorySchema
from orchestrator import clock
from orchestrator.database import history
from orchestrator.database.instances import Whole

EVENT_STREAM = "text/event-stream"
#: Seconds after which a silent stream shows that it lives, so that proxies keep it open.
HEARTBEAT = 15.0
#: Seconds after which a stream ends; the client takes it up again where it was.
LONGEST = 600.0
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
@blueprint.asks(HistoryQuerySchema)
def list_(query: dict[str, Any], id: str) -> Response:
    """Transitions in their order

    With `Accept: text/event-stream` they come as they happen, as server-sent events whose id
    is the transition's sequence; `Last-Event-ID` takes the stream up again. The stream ends
    with the instance.
    """
    found = find(id)
    if wants(EVENT_STREAM):
        return _stream(found)
    page = history.listed(
        state().services.database,
        found.id,
        descending=query["sort"].startswith("-"),
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.number,)),
    )
    return listing([shown.transition(row) for row in page.rows], cursors.write(page.last))


def _stream(found: Whole) -> Response:
    last = request.headers.get("Last-Event-ID", "0")
    if not re.fullmatch(r"[0-9]{1,9}", last):
        raise Problem(kinds.MALFORMED, "Last-Event-ID must be the sequence of a transition")
    app = state()
    if not app.waiters.open_stream():
        raise Problem(kinds.TOO_MANY, "too many streams are open; try again")
    events = stream_with_context(alone(app, _events(app, found.id, int(last))))
    response = Response(events, content_type=EVENT_STREAM)
    response.call_on_close(app.waiters.close_stream)
    return response


def alone(app: State, events: Iterator[bytes]) -> Iterator[bytes]:
    """The events of a stream, told by a thread that takes no other request's place."""
    with app.waiters.lend():
        yield from events


def _events(app: State, id: str, last: int) -> Iterator[bytes]:
    """Every transition after `last`, until the instance has settled and the last one was sent,
    or the time is over."""
    until = clock.monotonic() + LONGEST
    yield b": here\n\n"
    while (found := history.follow(app.services.database, id, last, _PAGE)) is not None:
        for row in found.rows:
            last = row[0]
            yield b"id: %d\ndata: %b\n\n" % (last, dumped(shown.transition(row)))
        if found.settled and last >= found.sequence:
            return
        if app.waiters.closed or clock.monotonic() >= until:
            return
        if len(found.rows) < _PAGE:
            app.waiters.moved(id, last, HEARTBEAT)
            yield b":\n\n"
