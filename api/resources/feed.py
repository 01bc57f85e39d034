"""``/v1/feed``: which instances changed, as server-sent events without payloads."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate

from api.http import problem_types
from api.http.app_state import AppState, caller, scope, state
from api.http.handed_over import HandedOver
from api.http.problems import Problem
from api.http.resource_blueprint import Resource
from api.resources.history import EVENT_STREAM, in_own_thread, open_stream
from api.schemas.common import NAMESPACE
from api.shared.change_feed import SocketSink

blueprint = Resource("feed", __name__, url_prefix="/v1/feed", description="What changed.")

#: Messages that a stream with a thread of its own may be behind.
_BACKLOG = 100


class FeedQuerySchema(Schema):
    """Whose changes."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))


@blueprint.route("")
@blueprint.answers(200, {"type": "string"}, media_type=EVENT_STREAM)
@blueprint.requires(FeedQuerySchema)
def feed(query: dict[str, Any]) -> Response:
    """The instances that change

    Server-sent events `change`, at most one or a few each half second, whose data are an array of
    `{instance, namespace, sequence, status, compensation}`: each instance as it is now, however
    often it changed. `lost` says that changes were left out: read anew what you show.
    `Last-Event-ID` continues a stream; a stream ends after ten minutes.
    """
    after = _cursor(request.headers.get("Last-Event-ID"))
    allowed = scope(query.get("namespace")).namespaces
    namespaces = (query["namespace"],) if "namespace" in query else allowed
    app = state()
    owner = caller().owner
    if app.changes.is_full(owner):
        raise Problem(problem_types.TOO_MANY, "too many streams are open; try again")
    connection = _connection()
    if connection is not None:
        pieces = _hand_over(app, connection, owner, namespaces, after)
        return Response(pieces, content_type=EVENT_STREAM)
    open_stream(app, owner)
    sink = _QueueSink()
    end = app.changes.subscribe(sink, owner, namespaces, after)
    response = Response(in_own_thread(app, sink.pieces()), content_type=EVENT_STREAM)

    def close() -> None:
        end()
        app.waiters.close_stream(owner)

    response.call_on_close(close)
    return response


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise Problem(problem_types.MALFORMED, "Last-Event-ID must be the id of an event")
    return int(text)


def _connection() -> Any:
    """Return the request's own connection, if the server lets it be handed over."""
    found = request.environ.get("gunicorn.socket")
    is_ours = hasattr(found, "plain_copy")
    return found if is_ours and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1" else None


def _hand_over(
    app: AppState,
    connection: Any,
    owner: str,
    namespaces: tuple[str, ...] | None,
    after: int | None,
) -> Iterator[bytes]:
    """Yield the beginning of a stream, which the server writes with the head; the feed writes the
    rest."""
    yield b": here\n\n"
    app.changes.subscribe(SocketSink(connection.plain_copy()), owner, namespaces, after)
    raise HandedOver


class _QueueSink:
    """A stream with a thread of its own, where the server keeps the connection."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(_BACKLOG)

    def write(self, data: bytes) -> bool:
        try:
            self._queue.put_nowait(data)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def pieces(self) -> Iterator[bytes]:
        yield b": here\n\n"
        while (data := self._queue.get()) is not None:
            yield data
