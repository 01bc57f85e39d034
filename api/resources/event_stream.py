"""``/v1/events/stream``: the live feed as server-sent events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request

from api.http import problem_types
from api.http.app_state import AppState, caller, key_check, scope, state
from api.http.problems import Problem
from api.http.resource_blueprint import Resource
from api.resources.history import (
    EVENT_STREAM,
    HEARTBEAT,
    LONGEST,
    in_own_thread,
    open_stream,
)
from api.schemas.events import StreamQuerySchema
from api.shared.instance_waiters import CHECK_INTERVAL
from api.shared.live_feed import FeedClosed, FeedPosition, FeedSubscriber, Item, Predicate
from orchestrator import clock
from orchestrator.database.keyset_pages import Scope

blueprint = Resource("stream", __name__, url_prefix="/v1/events/stream", description="Live.")


@blueprint.route("")
@blueprint.answers(200, {"type": "string"}, media_type=EVENT_STREAM)
@blueprint.requires(StreamQuerySchema)
def stream(query: dict[str, Any]) -> Response:
    """The live feed: events as they are received and emitted, and lifecycle events

    Server-sent events whose data are CloudEvents, from now on. `Last-Event-ID` continues a
    stream after that event. A client that reads too slowly is disconnected, and may continue.
    After the restore of an older backup, an id of the time after it starts a stream from now on.
    """
    last = _position(request.headers.get("Last-Event-ID"))
    predicate = _predicate(query, scope(query.get("namespace")))
    app = state()
    owner, is_valid = caller().owner, key_check()
    open_stream(app, owner)
    try:
        if last is not None and not app.feed.has_taken(last[0]):
            last = None
        subscriber = app.feed.subscribe(predicate)
    except BaseException:
        app.waiters.close_stream(owner)
        raise
    response = Response(
        in_own_thread(app, _events(app, subscriber, last, is_valid)), content_type=EVENT_STREAM
    )

    def unsubscribe() -> None:
        app.feed.unsubscribe(subscriber)
        app.waiters.close_stream(owner)

    response.call_on_close(unsubscribe)
    return response


def _position(text: str | None) -> FeedPosition | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,18})\.([0-9]{1,9})", text)
    if match is None:
        raise Problem(
            problem_types.MALFORMED, "Last-Event-ID must be the id of an event of the stream"
        )
    return int(match[1]), int(match[2])


def _predicate(query: dict[str, Any], allowed: Scope) -> Predicate:
    namespace, type, source = (query.get(name) for name in ("namespace", "type", "source"))
    instance = str(query["instance"]) if "instance" in query else None

    def matches(item: Item) -> bool:
        event = item.event
        return (
            (item.namespace == namespace if namespace else allowed.has(item.namespace))
            and (type is None or _is_type(event["type"], type))
            and (source is None or event["source"] == source)
            and (instance is None or event.get("subject") == instance)
        )

    return matches


def _is_type(actual: str, type: str) -> bool:
    return actual.startswith(type[:-1]) if type.endswith("*") else actual == type


def _events(
    app: AppState,
    subscriber: FeedSubscriber,
    last: FeedPosition | None,
    is_valid: Callable[[], bool],
) -> Iterator[bytes]:
    until = clock.monotonic() + LONGEST
    yield b": here\n\n"
    if last is not None:
        for items in app.feed.replay(last, subscriber.since):
            # Send an empty comment with each batch of items, even if no item is for this
            # subscriber. Only sending shows that a client has gone.
            yield b":\n\n"
            yield from (_server_sent(item) for item in items if subscriber.predicate(item))
            if app.waiters.closed or not is_valid():
                return
    checked_at = said_at = clock.monotonic()
    while (now := clock.monotonic()) < until and not app.waiters.closed:
        if now - checked_at >= CHECK_INTERVAL:
            checked_at = now
            if not is_valid():
                return
        try:
            received = subscriber.next(CHECK_INTERVAL)
        except FeedClosed:
            return
        if received is None:
            if now - said_at >= HEARTBEAT:
                said_at = now
                yield b":\n\n"
        elif last is None or subscriber.went_back or received.position > last:
            yield _server_sent(received)


def _server_sent(item: Item) -> bytes:
    return b"id: %d.%d\ndata: %b\n\n" % (*item.position, item.data)
