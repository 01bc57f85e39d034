"""Idempotency-Key: a change and the answer to it are recorded in one transaction.

The scheme is that of draft-ietf-httpapi-idempotency-key-header: the same key with the same
request gets the first answer again, marked by `Idempotency-Replayed`; with another request
422; while the first is being answered 409.
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
from api.http.resource_blueprint import Answer as Whole
from orchestrator import json_codec
from orchestrator.database.access import idempotency_queries
from orchestrator.database.access.idempotency_queries import Answer, Key
from orchestrator.database.connection.database import LOCKING, Transaction

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}

_ALLOWED = re.compile(r"[\x21-\x7e]{1,255}")
_DESCRIBED = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "your name for this request: sent again, it gets the first answer again,"
    " marked by `Idempotency-Replayed`; for another request it is a 422",
}


def key() -> Key | None:
    """What the client calls this request; None where it does not. Raises `Problem` 400.

    To be called once the body has been read: the digest covers it.
    """
    given = given_key()
    if given is None:
        return None
    parts = (request.method, request.full_path, request.mimetype)
    digest = hashlib.sha256(
        "\n".join(parts).encode("utf-8", "replace") + b"\n" + g.get("body", b"")
    )
    return Key(caller().owner, given, digest.hexdigest())


def given_key() -> str | None:
    """The header as it was given. Raises `Problem` 400 where it is no key."""
    given = request.headers.get(HEADER)
    if given is not None and not _ALLOWED.fullmatch(given):
        raise Problem(problem_types.INVALID_KEY, "it must be 1 to 255 visible ASCII characters")
    return given


def describe(paths: Mapping[str, Any]) -> None:
    """Add the header to every POST of a description's paths."""
    for operations in paths.values():
        if "post" in operations:
            operations["post"].setdefault("parameters", []).append(_DESCRIBED)


def answered(status: int, value: Any, headers: dict[str, str] | None = None) -> Answer:
    """An answer, ready to be recorded and given."""
    return Answer(status, dumped(value).decode(), headers or {})


def respond_recorded(answer: Answer, replayed: bool = False) -> Response:
    """The response of an answer."""
    headers = {**answer.headers, **(REPLAYED if replayed else {})}
    return Whole(answer.body, answer.status, headers, content_type=JSON)


def reveal_secret(member: str, secret: str) -> Callable[[Answer], Answer]:
    """A `reveal`: it puts the secret into the answer that is given once."""

    def reveal(answer: Answer) -> Answer:
        return replace(
            answer, body=json_codec.dumps({**json_codec.loads(answer.body), member: secret})
        )

    return reveal


def run_idempotent(
    make: Callable[[Transaction], Answer | Problem],
    after: Callable[[], None] | None = None,
    reveal: Callable[[Answer], Answer] | None = None,
    opening: str = LOCKING,
) -> Response:
    """Make a change in one transaction with the record of its answer.

    `after` is called once it has committed, and `reveal` adds what is not to be recorded;
    neither for an answer that was given before. `opening` opens the transaction. A `Problem`
    that `make` returns is raised once what it did has committed; one that it raises undoes it.
    Neither is recorded.
    """
    named = key()
    with state().services.database.transaction(opening) as cursor:
        first = idempotency_queries.enter(cursor, named) if named else None
        answer = first or make(cursor)
        if named and not first and isinstance(answer, Answer):
            idempotency_queries.record(cursor, named, answer)
    if first:
        return respond_recorded(first, replayed=True)
    if after:
        after()
    if isinstance(answer, Problem):
        raise answer
    return respond_recorded(reveal(answer) if reveal else answer)
