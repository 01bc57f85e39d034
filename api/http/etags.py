"""ETags: what a client has seen, so that its change is refused where somebody was faster.

An instance's tag counts its transitions (see `api.resources.instances.etag`); that of what changes
seldom is a hash of how it is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import request

from api.http import problem_types
from api.http.problems import Problem
from api.http.resource_blueprint import dumped

_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": False,
    "schema": {"type": "string"},
    "description": "the `ETag` of what was seen: where it has changed since, it is a 412 and"
    " nothing is done",
}
_IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "required": False,
    "schema": {"type": "string"},
    "description": "the `ETag` of what is known: where it has not changed, the answer is a 304",
}


def describe(paths: Mapping[str, Any]) -> None:
    """Add the headers to those operations of a description's paths that heed them."""
    for operations in paths.values():
        for operation in operations.values():
            answers = operation.get("responses", {}) if isinstance(operation, dict) else {}
            for status, header in (("412", _IF_MATCH), ("304", _IF_NONE_MATCH)):
                if status in answers:
                    operation.setdefault("parameters", []).append(header)


def tag_of(shown: Any) -> str:
    """The tag of a representation, without its quotes."""
    return hashlib.blake2s(dumped(shown), digest_size=12).hexdigest()


def headers(tag: str) -> dict[str, str]:
    """The header that tells a tag."""
    return {"ETag": f'"{tag}"'}


def require_match(tag: str, what: str) -> None:
    """Refuse a change to what the client has not seen as it is. Raises `Problem` 412.

    To be called where the row is locked. RFC 9110, section 13.1.1: without any If-Match
    everything matches.
    """
    if request.if_match and tag not in request.if_match:
        raise Problem(
            problem_types.PRECONDITION, f"the {what} has changed since its ETag was given"
        )
