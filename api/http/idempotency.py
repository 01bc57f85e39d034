"""Idempotency-Key: a change and the answer to it are recorded in one transaction.

The scheme is that of draft-ietf-httpapi-idempotency-key-header. The same key with the same
request gets the recorded answer, marked by `Idempotency-Replayed`; with another request it gets
422, and while the first request is being answered 409.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Response, g, request

from api.http import problem_types
from api.http.app_state import caller, state
from api.http.problems import Problem
from api.http.resource_blueprint import JSON, dumped
from api.http.resource_blueprint import Answer as CompleteResponse
from orchestrator import json_codec
from orchestrator.database.access import idempotency_queries
from orchestrator.database.access.idempotency_queries import IdempotencyKey, RecordedAnswer
from orchestrator.database.connection.database import LOCKING, Transaction

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}

_ALLOWED = re.compile(r"[\x21-\x7e]{1,255}")
_DESCRIBED = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "the client's name for this request: repeated, it gets the first answer, marked"
    " by `Idempotency-Replayed`; with another request it is a 422",
}


def key() -> IdempotencyKey | None:
    """Return the request's idempotency key, or None if it has none. Raises `Problem` 400.

    Call it after the body has been read: the digest covers the body.
    """
    name = header_key()
    if name is None:
        return None
    parts = (request.method, request.full_path, request.mimetype)
    digest = hashlib.sha256(
        "\n".join(parts).encode("utf-8", "replace") + b"\n" + g.get("body", b"")
    )
    return IdempotencyKey(caller().owner, name, digest.hexdigest())


def header_key() -> str | None:
    """Return the header's value, or None. Raises `Problem` 400 if it is not a valid key."""
    value = request.headers.get(HEADER)
    if value is not None and not _ALLOWED.fullmatch(value):
        raise Problem(problem_types.INVALID_KEY, "it must be 1 to 255 visible ASCII characters")
    return value


def describe(paths: Mapping[str, Any]) -> None:
    """Add the header to the description of every POST."""
    for operations in paths.values():
        if "post" in operations:
            operations["post"].setdefault("parameters", []).append(_DESCRIBED)


def recordable(status: int, value: Any, headers: dict[str, str] | None = None) -> RecordedAnswer:
    """Return an answer that can be recorded and sent."""
    return RecordedAnswer(status, dumped(value).decode(), headers or {})


def respond_recorded(answer: RecordedAnswer, replayed: bool = False) -> Response:
    """Return the response of an answer."""
    headers = {**answer.headers, **(REPLAYED if replayed else {})}
    return CompleteResponse(answer.body, answer.status, headers, content_type=JSON)


def reveal_secret(member: str, secret: str) -> Callable[[RecordedAnswer], RecordedAnswer]:
    """Return a `reveal` that adds the secret to the first answer."""

    def reveal(answer: RecordedAnswer) -> RecordedAnswer:
        return replace(
            answer, body=json_codec.dumps({**json_codec.loads(answer.body), member: secret})
        )

    return reveal


def run_idempotent(
    make: Callable[[Transaction], RecordedAnswer | Problem],
    after: Callable[[], None] | None = None,
    reveal: Callable[[RecordedAnswer], RecordedAnswer] | None = None,
    opening: str = LOCKING,
) -> Response:
    """Make a change in one transaction with the record of its answer.

    `after` is called after the commit, and `reveal` adds what must not be recorded; neither
    runs for a replayed answer. `opening` is the statement that opens the transaction. A `Problem`
    that `make` returns is raised after the commit; one that `make` raises rolls back. Neither is
    recorded.
    """
    idempotency_key = key()
    with state().services.database.transaction(opening) as cursor:
        recorded = idempotency_queries.enter(cursor, idempotency_key) if idempotency_key else None
        answer = recorded or make(cursor)
        if idempotency_key and not recorded and isinstance(answer, RecordedAnswer):
            idempotency_queries.record(cursor, idempotency_key, answer)
    if recorded:
        return respond_recorded(recorded, replayed=True)
    if after:
        after()
    if isinstance(answer, Problem):
        raise answer
    return respond_recorded(reveal(answer) if reveal else answer)
