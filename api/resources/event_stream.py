"""``/v1/events/stream``: the live feed as server-sent events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from api.http import problem_types
from api.http.app_state import AppState, scope, state
from api.http.problems import Problem
from api.http.resource_blueprint import Resource, dumped
from api.resources.history import EVENT_STREAM, HEARTBEAT, LONGEST, in_own_thread
from api.schemas.events import StreamQuerySchema
from api.shared.live_feed import FeedClosed, FeedSubscriber, Item, Place, Predicate
from orchestrator import clock
from orchestrator.database.keyset_pages import Scope

blueprint = Resource("stream", __name__, url_prefix="/v1/events/stream", description="Live.")


@blueprint.route("")
@blueprint.answers(200, {"type": "string"}, media_type=EVENT_STREAM)
@blueprint.requires(StreamQuerySchema)
def stream(query: dict[str, Any]) -> Response:
    """The live feed: events as they are received and emitted, and lifecycle events

    Server-sent events whose data are CloudEvents, from now on; `Last-Event-ID` takes the
    stream up again where it was. Who is too slow to read is let go, and may do that.
    """
    last = _place(request.headers.get("Last-Event-ID"))
    wanted = _wanted(query, scope(query.get("namespace")))
    app = state()
    if not app.waiters.open_stream():
        raise Problem(problem_types.TOO_MANY, "too many streams are open; try again")
    try:
        onlooker = app.feed.subscribe(wanted)
    except BaseException:
        app.waiters.close_stream()
        raise
    response = Response(in_own_thread(app, _events(app, onlooker, last)), content_type=EVENT_STREAM)

    def leave() -> None:
        app.feed.unsubscribe(onlooker)
        app.waiters.close_stream()

    response.call_on_close(leave)
    return response


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,18})\.([0-9]{1,9})", text)
    if match is None:
        raise Problem(
            problem_types.MALFORMED, "Last-Event-ID must be the id of an event of the stream"
        )
    return int(match[1]), int(match[2])


def _wanted(query: dict[str, Any], allowed: Scope) -> Predicate:
    namespace, type, source = (query.get(name) for name in ("namespace", "type", "source"))
    instance = str(query["instance"]) if "instance" in query else None

    def wanted(item: Item) -> bool:
        event = item.event
        return (
            (item.namespace == namespace if namespace else allowed.has(item.namespace))
            and (type is None or _is(event["type"], type))
            and (source is None or event["source"] == source)
            and (instance is None or event.get("subject") == instance)
        )

    return wanted


def _is(found: str, type: str) -> bool:
    return found.startswith(type[:-1]) if type.endswith("*") else found == type


def _events(app: AppState, onlooker: FeedSubscriber, last: Place | None) -> Iterator[bytes]:
    until = clock.monotonic() + LONGEST
    yield b": here\n\n"
    if last is not None:
        for item in app.feed.before(last, onlooker.since):
            if onlooker.wanted(item):
                yield _told(item)
    while clock.monotonic() < until and not app.waiters.closed:
        try:
            found = onlooker.next(HEARTBEAT)
        except FeedClosed:
            return
        if found is None:
            yield b":\n\n"
        elif last is None or found.place > last:
            yield _told(found)


def _told(item: Item) -> bytes:
    return b"id: %d.%d\ndata: %b\n\n" % (*item.place, dumped(item.event))
